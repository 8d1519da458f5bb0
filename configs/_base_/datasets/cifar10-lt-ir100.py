# CIFAR-10-LT with imbalance ratio 100 (factor 0.01), exponential profile, the published subset.
_base_ = './cifar100.py'
imbalance_factor = 0.01
data_preprocessor = dict(num_classes=10)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='LongTailDataset',
        imbalance_factor=imbalance_factor,
        dataset=dict(type='CIFAR10', data_root='data/cifar10', split='train', pipeline=[]),
    )
)
val_dataloader = dict(dataset=dict(type='CIFAR10', data_root='data/cifar10'))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='LongTailAccuracy',
    train_counts=[int(5000 * imbalance_factor ** (c / 9)) for c in range(10)],
)
test_evaluator = dict(val_evaluator)
