# ProCo on ImageNet-LT, ResNet-50, twice as long.
_base_ = './proco_resnet50_8xb32-coslr-90e_imagenet-lt.py'
param_scheduler = [dict(type='OneBasedCosineLR', T_max=181, by_epoch=True, begin=0, end=180)]
train_cfg = dict(max_epochs=180)
