# ProCo on CIFAR-10-LT, imbalance ratio 50.
_base_ = './proco_resnet32_1xb256-step-200e_cifar10-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(train_counts=[int(5000 * imbalance_factor ** (c / 9)) for c in range(10)])
test_evaluator = val_evaluator
