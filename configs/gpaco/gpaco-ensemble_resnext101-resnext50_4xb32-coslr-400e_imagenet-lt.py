# Ensemble on ImageNet-LT, evaluation only: python tools/test.py THIS --ensemble X101.pth
# X50.pth. The authors' script sums the logits of a ResNeXt-101 and a ResNeXt-50; their table
# speaks of two ResNeXt-101, for which the config of one serves with --ensemble A.pth
# B.pth.
_base_ = './gpaco_resnext101-32x4d_4xb32-coslr-400e_imagenet-lt.py'
resnext50 = dict(_base_.model, backbone=dict(_base_.model.backbone, depth=50))
model = dict(_delete_=True, type='EnsembleClassifier', members=[_base_.model, resnext50])
del resnext50
data_preprocessor = dict(type='ClsDataPreprocessor')
