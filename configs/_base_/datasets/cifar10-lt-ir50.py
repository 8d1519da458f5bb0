# CIFAR-10-LT with imbalance ratio 50 (factor 0.02), exponential profile, the published subset.
_base_ = './cifar10-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(
    train_counts=[int(5000 * imbalance_factor ** (c / 9.0)) for c in range(10)],
)
test_evaluator = val_evaluator
