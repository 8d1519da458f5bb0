# Stage one of SupCon: batches of 1024. The start of the warm-up, a tenth of the rate, is ours.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=991, eta_min=5e-4, by_epoch=True, begin=9, end=1000),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=1)
val_cfg = None  # there is no classifier to evaluate
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=1024)
