# Cross entropy on a torchvision-style ResNet-50: no zero initialisation of the last BatchNorm of a
# block, PyTorch's default initialisation of the classifier.
_base_ = 'mmpretrain::_base_/models/resnet50.py'
model = dict(backbone=dict(zero_init_residual=False), head=dict(init_cfg=None))
