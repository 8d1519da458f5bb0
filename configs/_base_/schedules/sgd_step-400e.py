# "step" of the CIFAR scripts: ten warm-up epochs, a tenth of the rate from epoch 321 (counted from
# 0), a hundredth from epoch 361. The released script compares with <= where < is meant, so that
# its epoch 10 has 1.1 times the base rate; here it has the base rate.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type='MultiStepLR', by_epoch=True, milestones=[321, 361], gamma=0.1),
]
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=128)
