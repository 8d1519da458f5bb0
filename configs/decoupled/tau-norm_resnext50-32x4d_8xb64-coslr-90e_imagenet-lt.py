# tau-normalisation on ImageNet-LT, ResNeXt-50 32x4d: tests the checkpoint of stage one. Choose tau
# on the validation list, see README.md.
_base_ = './ce_resnext50-32x4d_8xb64-coslr-90e_imagenet-lt.py'
model = dict(head=dict(type='TauNormClsHead', tau=1.0))
