# ProCo on CIFAR-100-LT, imbalance ratio 50.
_base_ = './proco_resnet32_1xb256-step-200e_cifar100-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(train_counts=[int(500 * imbalance_factor ** (c / 99)) for c in range(100)])
test_evaluator = val_evaluator
