_base_ = [
    'mmseg::_base_/models/segformer_mit-b0.py',
    'mmseg::_base_/datasets/pascal_context_59.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    '../_base_/tta/relative_520x520.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
# Backbone weights and sizes of the stock SegFormer-B2 file for ADE20K.
checkpoint = (
    'https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segformer/mit_b2_20220624-66e8bf70.pth'
)
model = dict(
    data_preprocessor=dict(size=(480, 480)),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
        embed_dims=64,
        num_layers=[3, 4, 6, 3],
    ),
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='SegformerHead',
        in_channels=[64, 128, 320, 512],
        num_classes=59,
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    ),
    test_cfg=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)),
)
# Optimizer and warm-up of the same stock file, decay over 40k iterations.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.00006, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'pos_block': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
            'head': dict(lr_mult=10.0),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=40000),
]
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4 images
