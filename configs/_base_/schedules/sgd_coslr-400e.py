# "cos" of the PaCo and GPaCo scripts, constant inside an epoch: with base rate b, w = 10 warm-up
# epochs and E = 400, epoch e has b * (e + 1) / w while e < w, then
# b / 2 * (1 + cos(pi * (e - w + 1) / (E - w + 1))).
# Weight decay acts on all parameters, there is no Nesterov momentum and no gradient clipping.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=391, by_epoch=True, begin=9, end=400),
]
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=128)
