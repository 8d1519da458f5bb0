# CIFAR-100-LT with imbalance ratio 50 (factor 0.02), exponential profile, the published subset.
_base_ = './cifar100-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(
    train_counts=[int(500 * imbalance_factor ** (c / 99.0)) for c in range(100)],
)
test_evaluator = val_evaluator
