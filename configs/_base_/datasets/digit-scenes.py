# `python tools/make_demo_data.py --out data/digit_scenes` writes this set in seconds.
# Validation during training uses the `search` split, on which settings are chosen;
# `tools/test.py` uses the `validation` split, which is only reported.
dataset_type = 'DigitScenesDataset'
data_root = 'data/digit_scenes/'
crop_size = (96, 96)  # the size of the scenes: nothing is cropped
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in (0.75, 1.0, 1.25)],
            # a mirrored digit is no digit
            [dict(type='RandomFlip', prob=0.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
scenes = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,  # loading is a hundredth of a CPU training step
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        scenes,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        scenes,
        data_prefix=dict(img_path='images/search', seg_map_path='annotations/search'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        scenes,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
    ),
)
del scenes
frequency_file = 'data/digit_scenes/class_frequency.json'
# Share of the training scenes with the class: head (background, zero to three) from 40 %,
# tail (seven, eight, nine) below 10 %.
test_evaluator = dict(
    type='LongTailIoUMetric',
    iou_metrics=['mIoU'],
    frequency_file=frequency_file,
    group_thresholds=(0.4, 0.1),
)
val_evaluator = dict(test_evaluator, per_class=False)
