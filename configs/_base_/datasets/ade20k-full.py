# ADE20K-Full: 847 classes, label maps of 16 bits. `paco-seg prepare ade20k-full` writes the data.
# Heads want num_classes=847 and ignore_index=65535, the preprocessor seg_pad_val=65535: see
# ../benchmarks/ade20k-full_upernet_r50.py.
_base_ = 'mmseg::_base_/datasets/ade20k.py'
data_root = 'data/ade_full'
load_labels = dict(type='LoadLabelMap', ignore_index=65535)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    load_labels,
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75, ignore_index=65535),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    load_labels,
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=ratio, keep_ratio=True)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [load_labels],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    dataset=dict(type='ADE20KFullDataset', data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(type='ADE20KFullDataset', data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
# With `paco-seg statistics CONFIG -o FILE` this can be the dual metric of the benchmark:
# dict(type='LongTailIoUMetric', frequency_file=FILE, dual_metric=True, ignore_index=65535)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'], ignore_index=65535)
test_evaluator = val_evaluator
