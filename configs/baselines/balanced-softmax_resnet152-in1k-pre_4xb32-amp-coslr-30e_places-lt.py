# Balanced Softmax: differs from the cross-entropy baseline by the loss alone.
_base_ = './ce_resnet152-in1k-pre_4xb32-amp-coslr-30e_places-lt.py'
model = dict(head=dict(loss=dict(_delete_=True, type='BalancedSoftmaxLoss', class_prior='auto')))
