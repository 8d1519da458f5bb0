# LWS on CIFAR-10-LT, imbalance ratio 10.
_base_ = './lws_resnet32_1xb128-coslr-5e_cifar10-lt-ir100.py'
load_from = 'work_dirs/ce_resnet32_1xb128-step-200e_cifar10-lt-ir10/epoch_200.pth'
imbalance_factor = 0.1
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(train_counts=[int(5000 * imbalance_factor ** (c / 9)) for c in range(10)])
test_evaluator = val_evaluator
