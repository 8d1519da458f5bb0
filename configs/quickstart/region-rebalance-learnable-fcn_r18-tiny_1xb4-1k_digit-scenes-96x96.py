# Cross entropy plus Region Rebalance whose own layers are trained too, as the abstract reads.
_base_ = './region-rebalance-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(decode_head=dict(training_branches=dict(region_rebalance=dict(learnable=True))))
