# Balanced Softmax: differs from the cross-entropy baseline by the loss alone.
_base_ = './ce_resnext50-32x4d_4xb32-coslr-400e_imagenet-lt.py'
model = dict(head=dict(loss=dict(_delete_=True, type='BalancedSoftmaxLoss', class_prior='auto')))
