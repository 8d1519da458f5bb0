# Stage one of the decoupled systems: cosine to 0 by epoch, no warm-up. The release steps its
# schedule before an epoch: the first is below the rate, the last has 0.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [dict(type='OneBasedCosineLR', T_max=90, by_epoch=True, begin=0, end=90)]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=512)
