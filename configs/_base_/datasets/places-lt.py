# Places-LT: 62 500 training images of 365 classes. As the authors, results are read on the
# validation list (20 images per class), not on the test list of 36 500 images; the last epoch is
# the result.
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=365,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
images = dict(type='ImageListDataset', data_root='data/places', num_classes=365)
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(images, ann_file='meta/Places_LT_train.txt', every_class=True, pipeline=[]),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(images, ann_file='meta/Places_LT_val.txt', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='LongTailAccuracy',
    train_counts=dict(images, ann_file='meta/Places_LT_train.txt', check_files=False),
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
del images
