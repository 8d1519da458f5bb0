# tau-normalisation on CIFAR-100-LT, imbalance ratio 100: tests the checkpoint of stage one. There
# is no validation split to choose tau on: 1 gives unit class vectors.
_base_ = './ce_resnet32_1xb128-step-200e_cifar100-lt-ir100.py'
model = dict(head=dict(type='TauNormClsHead', tau=1.0))
