# BCL and ProCo on ImageNet-LT, constant inside an epoch: epoch e of E has half the rate times
# 1 + cos(pi * (e + 1) / (E + 1)), without warm-up.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [dict(type='OneBasedCosineLR', T_max=91, by_epoch=True, begin=0, end=90)]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=256)
