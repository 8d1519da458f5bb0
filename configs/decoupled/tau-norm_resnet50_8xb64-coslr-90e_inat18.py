# tau-normalisation on iNaturalist 2018, ResNet-50: tests the checkpoint of stage one. There is no
# further split to choose tau on: 1 gives unit class vectors.
_base_ = './ce_resnet50_8xb64-coslr-90e_inat18.py'
model = dict(head=dict(type='TauNormClsHead', tau=1.0))
