_base_ = './gpaco-upernet_swin-tiny-patch4-window7-in1k-pre_8xb2-160k_ade20k-512x512.py'
# The authors' second variant adds the Lovasz-Softmax loss to cross entropy and GPaCo: over the
# whole batch (not per image), averaged over the classes present.
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            dict(
                type='LovaszLoss',
                loss_type='multi_class',
                classes='present',
                per_image=False,
                reduction='none',
                loss_weight=1.0,
            ),
        ]
    )
)
