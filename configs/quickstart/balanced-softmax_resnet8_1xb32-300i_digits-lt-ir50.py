# Cross entropy of logits plus the log class prior; predictions use the raw logits.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(head=dict(loss=dict(_delete_=True, type='BalancedSoftmaxLoss', class_prior='auto')))
