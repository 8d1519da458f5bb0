# LDAM with deferred re-weighting: the last fifth of the 33 epochs.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    head=dict(
        type='LDAMClsHead',
        loss=dict(
            _delete_=True,
            type='LDAMLoss',
            class_counts='auto',
            max_margin=0.5,
            scale=30.0,
            drw_start_epoch=26,
            drw_beta=0.9999,
        ),
        # as on CIFAR; by default the class vectors would start close to zero
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_in', nonlinearity='relu'),
    )
)
