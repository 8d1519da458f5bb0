# Multi-task baseline on CIFAR-100, balanced: cross entropy plus supervised contrast, no prior.
# Differs from GPaCo by the loss alone.
_base_ = '../gpaco/gpaco_resnet50_1xb128-step-400e_cifar100.py'
model = dict(
    head=dict(
        type='MultiTaskSupConClsHead',
        loss=dict(
            _delete_=True, type='MultiTaskSupConLoss', alpha=0.5, temperature=0.07, class_prior=None
        ),
    )
)
