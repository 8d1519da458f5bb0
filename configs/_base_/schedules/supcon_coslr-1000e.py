# Stage one of SupCon, as released: batches of 1024. The rate rises with every iteration of ten
# epochs, from 0.01 to where the cosine then is; after that it is that of epoch e of 1 to 1000,
# eta + (0.5 - eta) / 2 * (1 + cos(pi * e / 1000)) with eta = 0.5 * 0.1 ** 3.
import math

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01 / 0.5,
        end_factor=0.001 + (1 - 0.001) / 2 * (1 + math.cos(math.pi * 10 / 1000)),
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(type='OneBasedCosineLR', T_max=1000, eta_min=5e-4, by_epoch=True, begin=10, end=1000),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=1)
val_cfg = None  # there is no classifier to evaluate
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=1024)
