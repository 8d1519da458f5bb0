# `python tools/make_demo_digits.py --out data/digits_lt` writes this set in seconds: 16x16 scans,
# 100 zeros to 2 nines in training. Validation during training uses the `search` split, on which
# settings are chosen; `tools/test.py` uses the `validation` split, which is only reported.
data_root = 'data/digits_lt/'
class_counts_file = 'data/digits_lt/class_counts.json'
data_preprocessor = dict(
    type='MultiViewClsDataPreprocessor',
    num_classes=10,
    num_views=2,
    # of the training split
    mean=[80.0, 80.0, 80.0],
    std=[90.0, 90.0, 90.0],
    to_rgb=True,
)
views = dict(
    load=dict(type='LoadImageFromFile'),
    pack=dict(type='PackInputs'),
    # a mirrored digit is no digit
    crop_jitter=[
        dict(type='RandomCrop', crop_size=16, padding=2),
        dict(type='ColorJitter', brightness=0.3, contrast=0.3),
    ],
)
train_pipeline = [
    views['load'],
    dict(type='MultiView', num_views=[2], transforms=[views['crop_jitter']]),
    views['pack'],
]
test_pipeline = [views['load'], views['pack']]
digits = dict(
    type='ImageListDataset',
    data_root=data_root,
    num_classes=10,
    metainfo=dict(
        classes=['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
    ),
)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(digits, ann_file='training.txt', every_class=True, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(digits, ann_file='search.txt', pipeline=test_pipeline),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(digits, ann_file='validation.txt', pipeline=test_pipeline)
)
# Such small classes need other groups than 100 and 20: many (zero to two) has 42 to 100 images,
# medium (three to five) 11 to 27, few (six to nine) 2 to 7.
val_evaluator = dict(type='LongTailAccuracy', train_counts=class_counts_file, many=30, few=10)
test_evaluator = dict(val_evaluator, per_class=True)
del digits
