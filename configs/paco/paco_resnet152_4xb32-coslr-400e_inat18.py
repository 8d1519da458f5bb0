# PaCo on iNaturalist 2018, ResNet-152. The authors report this row but have no script for it: the
# settings are those of ResNet-50.
_base_ = './paco_resnet50_4xb32-coslr-400e_inat18.py'
model = dict(backbone=dict(depth=152))
