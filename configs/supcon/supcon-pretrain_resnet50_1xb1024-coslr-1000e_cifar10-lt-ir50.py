# SupCon, stage one on CIFAR-10-LT, imbalance ratio 50.
_base_ = './supcon-pretrain_resnet50_1xb1024-coslr-1000e_cifar10-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
test_evaluator = dict(train_counts=[int(5000 * imbalance_factor ** (c / 9)) for c in range(10)])
