# tau-normalisation on CIFAR-100-LT, imbalance ratio 50.
_base_ = './ce_resnet32_1xb128-step-200e_cifar100-lt-ir50.py'
model = dict(head=dict(type='TauNormClsHead', tau=1.0))
