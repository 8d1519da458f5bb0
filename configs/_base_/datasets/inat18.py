# iNaturalist 2018: 437 513 training images of 8142 classes. Results are read on the validation list
# (3 images per class); the last epoch is the result.
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=8142,
    mean=[118.83, 120.105, 96.9],
    std=[49.725, 49.47, 48.96],
    to_rgb=True,
)
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
images = dict(type='ImageListDataset', data_root='data/inaturalist2018', num_classes=8142)
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(images, ann_file='meta/iNaturalist18_train.txt', every_class=True, pipeline=[]),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(images, ann_file='meta/iNaturalist18_val.txt', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='LongTailAccuracy',
    train_counts=dict(images, ann_file='meta/iNaturalist18_train.txt', check_files=False),
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
del images
