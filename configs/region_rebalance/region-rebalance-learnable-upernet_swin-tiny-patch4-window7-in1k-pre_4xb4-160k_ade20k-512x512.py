# Region classifier trained, as the abstract of the paper reads; the released code freezes it.
_base_ = './region-rebalance-upernet_swin-tiny-patch4-window7-in1k-pre_4xb4-160k_ade20k-512x512.py'
model = dict(decode_head=dict(training_branches=dict(region_rebalance=dict(learnable=True))))
