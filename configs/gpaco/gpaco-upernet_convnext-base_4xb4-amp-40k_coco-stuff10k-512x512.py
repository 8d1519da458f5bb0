_base_ = [
    'mmseg::_base_/models/upernet_convnext.py',
    '../_base_/benchmarks/coco-stuff10k_512x512_40k.py',
]
custom_imports = dict(imports=['mmpretrain.models', 'paco_seg.seg'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='UPerHead',
        num_classes=171,
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    ),
    # The third stage of ConvNeXt-B is 512 wide; the stock base file says 384 (ConvNeXt-T).
    auxiliary_head=dict(in_channels=512, num_classes=171),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
# Optimizer and warm-up of the stock ConvNeXt-B file for ADE20K, decay over 40k iterations.
optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=0.9, decay_type='stage_wise', num_layers=12),
    constructor='LearningRateDecayOptimizerConstructor',
    loss_scale='dynamic',
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=40000),
]
