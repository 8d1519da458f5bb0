# CIFAR-100-LT with imbalance ratio 100 as image files and lists: 10 847 training images, 500 to 5
# per class. The 10 000 test images are divided: settings are chosen on 10 per class (search.txt),
# the other 90 are only reported (test.txt). The draw is another one than that of
# cifar100-lt-ir100.py. docs/evidence.md says how the files are made.
data_root = 'data/cifar100_lt/'
size = 48
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=100,
    # of the ImageNet weights: the range -1 to 1
    mean=[127.0, 127.0, 127.0],
    std=[128.0, 128.0, 128.0],
    to_rgb=True,
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=size),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size),
    dict(type='PackInputs'),
]
images = dict(type='CustomDataset', data_root=data_root, classes=data_root + 'classes.txt')
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # on a CPU, loading is a small part of a step; beside a GPU set 2 or more
    persistent_workers=False,
    drop_last=True,
    dataset=dict(images, ann_file='train_ir100.txt', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(images, ann_file='search.txt', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(images, ann_file='test.txt', pipeline=test_pipeline)
)
val_evaluator = dict(type='LongTailAccuracy', train_counts=dict(images, ann_file='train_ir100.txt'))
test_evaluator = val_evaluator
del images
