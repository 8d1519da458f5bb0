# Balanced Softmax on CIFAR-10-LT, imbalance ratio 100.
_base_ = './ce_resnet32_1xb128-step-400e_cifar10-lt-ir100.py'
model = dict(head=dict(loss=dict(_delete_=True, type='BalancedSoftmaxLoss', class_prior='auto')))
