# CIFAR-10-LT with imbalance ratio 100 (factor 0.01), exponential profile, the published subset.
imbalance_factor = 0.01
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=10,
    # the authors' values; those of the stock CIFAR configs differ
    mean=[125.307, 122.961, 113.858],
    std=[51.587, 50.847, 51.255],
    to_rgb=True,
)
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    drop_last=True,
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=imbalance_factor,
        dataset=dict(type='CIFAR10', data_root='data/cifar10', split='train', pipeline=[]),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
# There is no validation split: the balanced test set is monitored, and the last epoch is the
# result.
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(
        type='CIFAR10',
        data_root='data/cifar10',
        split='test',
        # MMPretrain's CIFAR arrays are RGB; the preprocessor expects BGR
        pipeline=[
            dict(type='NumpyToPIL'),
            dict(type='PILToNumpy', to_bgr=True),
            dict(type='PackInputs'),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='LongTailAccuracy',
    train_counts=[int(5000 * imbalance_factor ** (c / 9.0)) for c in range(10)],
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
