# Cross entropy, MAE fine-tuning of ViT-Base/16 with Mixup, CutMix and RandAugment as in the
# stock config. The authors' batch of 1024 is 8 GPUs x 32 images x 4 accumulated steps.
_base_ = 'mmpretrain::mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py'
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmselfsup/1.x/mae/'
            'mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k/'
            'mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k_20220825-f7569ca2.pth'
        )
    )
)
train_dataloader = dict(batch_size=32, drop_last=True)
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic', accumulative_counts=4)
# From 0 over 5 epochs, then half a cosine to 1e-6, each scaled by the layer decay: the stock
# schedule starts at 1e-4 of the rate and ends at 1e-6 for all layers.
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-8,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=95,
        by_epoch=True,
        begin=5,
        end=100,
        eta_min_ratio=5e-4,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=1024)
