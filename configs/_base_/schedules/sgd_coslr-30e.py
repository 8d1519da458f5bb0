# As sgd_coslr-400e.py, with w = 5 warm-up epochs and E = 30.
_base_ = './sgd_coslr-400e.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type='CosineAnnealingLR', T_max=26, by_epoch=True, begin=4, end=30),
]
train_cfg = dict(max_epochs=30)
