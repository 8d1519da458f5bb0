# Cross entropy and SupCon at once on CIFAR-10-LT, imbalance ratio 100. Differs from GPaCo by the
# loss alone; its weight and temperature are ours.
_base_ = '../gpaco/gpaco_resnet32_1xb128-step-400e_cifar10-lt-ir100.py'
model = dict(
    head=dict(
        type='MultiTaskSupConClsHead',
        loss=dict(
            _delete_=True, type='MultiTaskSupConLoss', alpha=0.5, temperature=0.1, class_prior=None
        ),
    )
)
