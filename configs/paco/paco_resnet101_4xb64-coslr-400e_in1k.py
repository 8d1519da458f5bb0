# PaCo on the full ImageNet, ResNet-101.
_base_ = './paco_resnet50_4xb64-coslr-400e_in1k.py'
model = dict(backbone=dict(depth=101))
