# ImageNet-LT: 115 846 training images of 1000 classes. The best checkpoint is chosen on the
# validation list (20 images per class, cut from the ImageNet training set); results are read on
# the test list (50 per class, the ImageNet validation set), which the authors chose on.
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=1000,
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
images = dict(type='ImageListDataset', data_root='data/imagenet', num_classes=1000)
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(images, ann_file='meta/ImageNet_LT_train.txt', every_class=True, pipeline=[]),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(images, ann_file='meta/ImageNet_LT_val.txt', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='LongTailAccuracy',
    train_counts=dict(images, ann_file='meta/ImageNet_LT_train.txt', check_files=False),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(images, ann_file='meta/ImageNet_LT_test.txt', pipeline=test_pipeline),
)
test_evaluator = val_evaluator
del images
