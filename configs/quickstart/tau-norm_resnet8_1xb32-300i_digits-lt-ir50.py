# tau-normalisation: tests the checkpoint of the cross-entropy config. 1 gives unit class vectors.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(head=dict(type='TauNormClsHead', tau=1.0))
