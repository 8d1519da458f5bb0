# ContrastiveSeg on Cityscapes, HRNet-W48, as released: 40k iterations of 8 crops, SGD 0.01 with a
# polynomial decay, which the stock config has too.
_base_ = 'mmseg::hrnet/fcn_hr48_4xb2-40k_cityscapes-512x1024.py'
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
# The released cross entropy has class weights; these are those of MMSegmentation's PIDNet configs.
class_weight = [
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843,
    1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507,
]  # fmt: skip
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='FCNHead',
        loss_decode=dict(class_weight=class_weight),
        training_branches=dict(
            contrastive_seg=dict(
                type='ContrastiveSegBranch',
                temperature=0.1,
                base_temperature=0.07,
                max_samples=1024,
                max_views=100,
                min_pixels=101,  # "more than max_views": small classes have no anchors, as released
                start_iter=5000,
                loss_weight=0.1,
            )
        ),
    )
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0005))
auto_scale_lr = dict(enable=False, base_batch_size=8)
