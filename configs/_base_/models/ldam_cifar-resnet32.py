# LDAM with deferred re-weighting on the CIFAR ResNet-32: cosine classifier.
_base_ = './ce_cifar-resnet32.py'
model = dict(
    head=dict(
        type='LDAMClsHead',
        init_cfg=None,  # class vectors of length 1
        loss=dict(
            _delete_=True,
            type='LDAMLoss',
            class_counts='auto',
            max_margin=0.5,
            scale=30.0,
            drw_start_epoch=160,
            drw_beta=0.9999,
        ),
    )
)
