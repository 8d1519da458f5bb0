# SupCon, stage one on CIFAR-100-LT, imbalance ratio 50.
_base_ = './supcon-pretrain_resnet50_1xb1024-coslr-1000e_cifar100-lt-ir100.py'
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
test_evaluator = dict(train_counts=[int(500 * imbalance_factor ** (c / 99)) for c in range(100)])
