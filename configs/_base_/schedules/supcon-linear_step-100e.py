# Stage two of SupCon: batches of 512, a fifth of the rate from epochs 60, 75 and 90 (counted from
# 0). The rate suits features of norm far below 1.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=5.0, momentum=0.9, weight_decay=0.0)
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[60, 75, 90], gamma=0.2)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=512)
