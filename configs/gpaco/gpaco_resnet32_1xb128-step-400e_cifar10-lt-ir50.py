# GPaCo on CIFAR-10-LT, imbalance ratio 50. The authors have no script for this row.
_base_ = './gpaco_resnet32_1xb128-step-400e_cifar10-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(train_counts=[int(5000 * imbalance_factor ** (c / 9)) for c in range(10)])
test_evaluator = val_evaluator
