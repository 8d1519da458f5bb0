crop_size = (
    96,
    96,
)
custom_hooks = [
    dict(type='RNGStateHook'),
    dict(type='NumClassCheckHook'),
    dict(type='SettingsCheckHook'),
    dict(type='LoaderLengthHook'),
    dict(type='PretrainedFitHook'),
    dict(require='any', type='CheckpointMatchHook'),
    dict(type='ResumeCheckHook'),
    dict(type='ClassNamesCheckHook'),
    dict(type='AccumulatedGradientHook'),
    dict(type='NonFiniteLossHook'),
]
custom_imports = dict(
    allow_failed_imports=False, imports=[
        'paco_seg.seg',
    ])
data_preprocessor = dict(
    bgr_to_rgb=True,
    mean=[
        123.675,
        116.28,
        103.53,
    ],
    pad_val=0,
    seg_pad_val=255,
    size=(
        96,
        96,
    ),
    std=[
        58.395,
        57.12,
        57.375,
    ],
    type='SegDataPreProcessor')
data_root = 'data/digit_scenes/'
dataset_type = 'DigitScenesDataset'
default_hooks = dict(
    checkpoint=dict(
        by_epoch=False,
        filename_tmpl='final.pth',
        interval=1000,
        save_optimizer=False,
        save_param_scheduler=False,
        type='DurableCheckpointHook'),
    logger=dict(interval=20, log_metric_by_epoch=False, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    timer=dict(type='IterTimerHook'),
    visualization=dict(type='SegVisualizationHook'))
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
frequency_file = 'data/digit_scenes/class_frequency.json'
launcher = 'none'
load_from = None
log_level = 'INFO'
log_processor = dict(by_epoch=False, window_size=20)
model = dict(
    backbone=dict(
        base_channels=32,
        contract_dilation=True,
        depth=18,
        dilations=(
            1,
            1,
            1,
        ),
        norm_cfg=dict(requires_grad=True, type='BN'),
        norm_eval=False,
        num_stages=3,
        out_indices=(
            0,
            1,
            2,
        ),
        stem_channels=16,
        strides=(
            1,
            2,
            2,
        ),
        style='pytorch',
        type='ResNetV1c'),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_val=0,
        seg_pad_val=255,
        size=(
            96,
            96,
        ),
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='SegDataPreProcessor'),
    decode_head=dict(
        align_corners=False,
        base_type='FCNHead',
        channels=64,
        concat_input=False,
        dropout_ratio=0.1,
        in_channels=(
            32,
            64,
            128,
        ),
        in_index=(
            0,
            1,
            2,
        ),
        input_transform='resize_concat',
        kernel_size=1,
        loss_contrast=dict(
            alpha=0.01,
            loss_weight=0.1,
            num_pixels=288,
            temperature=0.07,
            type='PixelGPaCoLoss'),
        loss_decode=dict(
            loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=False),
        norm_cfg=dict(requires_grad=True, type='BN'),
        num_classes=11,
        num_convs=1,
        type='GPaCoDecodeHead'),
    pretrained=None,
    test_cfg=dict(mode='whole'),
    train_cfg=dict(),
    type='EncoderDecoder')
norm_cfg = dict(requires_grad=True, type='BN')
optim_wrapper = dict(
    optimizer=dict(lr=0.01, type='AdamW', weight_decay=0.01),
    type='OptimWrapper')
param_scheduler = [
    dict(begin=0, by_epoch=False, end=40, start_factor=0.05, type='LinearLR'),
    dict(
        begin=40,
        by_epoch=False,
        end=1000,
        eta_min=0.0,
        power=0.9,
        type='PolyLR'),
]
randomness = dict(seed=0)
resume = False
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=10,
    dataset=dict(
        data_prefix=dict(
            img_path='images/validation',
            seg_map_path='annotations/validation'),
        data_root='data/digit_scenes/',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        type='DigitScenesDataset'),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = dict(
    frequency_file='data/digit_scenes/class_frequency.json',
    group_thresholds=(
        0.4,
        0.1,
    ),
    iou_metrics=[
        'mIoU',
    ],
    type='LongTailIoUMetric')
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_cfg = dict(max_iters=1000, type='IterBasedTrainLoop', val_interval=200)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'),
        data_root='data/digit_scenes/',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        type='DigitScenesDataset'),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=True, type='InfiniteSampler'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_model = dict(_scope_='mmseg', type='SegTTAModel')
tta_pipeline = [
    dict(backend_args=None, type='LoadImageFromFile'),
    dict(
        transforms=[
            [
                dict(keep_ratio=True, scale_factor=0.75, type='Resize'),
                dict(keep_ratio=True, scale_factor=1.0, type='Resize'),
                dict(keep_ratio=True, scale_factor=1.25, type='Resize'),
            ],
            [
                dict(prob=0.0, type='RandomFlip'),
            ],
            [
                dict(type='LoadAnnotations'),
            ],
            [
                dict(type='PackSegInputs'),
            ],
        ],
        type='TestTimeAug'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=10,
    dataset=dict(
        data_prefix=dict(
            img_path='images/search', seg_map_path='annotations/search'),
        data_root='data/digit_scenes/',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        type='DigitScenesDataset'),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = dict(
    frequency_file='data/digit_scenes/class_frequency.json',
    group_thresholds=(
        0.4,
        0.1,
    ),
    iou_metrics=[
        'mIoU',
    ],
    per_class=False,
    type='LongTailIoUMetric')
vis_backends = [
    dict(_scope_='mmseg', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmseg',
    name='visualizer',
    type='SegLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ])
work_dir = 'work_dirs/quickstart/gpaco/seed_0'
