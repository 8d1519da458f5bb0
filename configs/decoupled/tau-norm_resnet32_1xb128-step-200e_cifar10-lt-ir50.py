# tau-normalisation on CIFAR-10-LT, imbalance ratio 50: tests the checkpoint of stage one. There is
# no validation split to choose tau on: 1 gives unit class vectors.
_base_ = './ce_resnet32_1xb128-step-200e_cifar10-lt-ir50.py'
model = dict(head=dict(type='TauNormClsHead', tau=1.0))
