# The baseline of the classification quickstart: a small ResNet trained with cross entropy.
_base_ = [
    '../_base_/models/ce_cifar-resnet8.py',
    '../_base_/datasets/digits-lt-ir50.py',
    '../_base_/schedules/schedule_quickstart_cls.py',
    '../_base_/default_runtime_cls.py',
]
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=300),
)
randomness = dict(seed=0)
