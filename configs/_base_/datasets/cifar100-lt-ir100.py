# CIFAR-100-LT with imbalance ratio 100 (factor 0.01), exponential profile, the published subset.
_base_ = './cifar100.py'
imbalance_factor = 0.01
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='LongTailDataset',
        imbalance_factor=imbalance_factor,
        dataset=_base_.train_dataloader.dataset,
    )
)
val_evaluator = dict(
    _delete_=True,
    type='LongTailAccuracy',
    train_counts=[int(500 * imbalance_factor ** (c / 99)) for c in range(100)],
)
test_evaluator = dict(val_evaluator)
