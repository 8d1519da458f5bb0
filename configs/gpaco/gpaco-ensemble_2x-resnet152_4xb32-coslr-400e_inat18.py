# Ensemble of two ResNet-152 on iNaturalist 2018, evaluation only: python tools/test.py THIS
# --ensemble A.pth B.pth. The authors report this row but have no script for it.
_base_ = './gpaco_resnet152_4xb32-coslr-400e_inat18.py'
model = dict(_delete_=True, type='EnsembleClassifier', members=[_base_.model, _base_.model])
data_preprocessor = dict(type='ClsDataPreprocessor')
