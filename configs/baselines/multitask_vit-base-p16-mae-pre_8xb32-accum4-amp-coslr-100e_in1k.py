# Multi-task baseline, MAE fine-tuning of ViT-Base/16: cross entropy with label smoothing plus
# supervised contrast. Differs from GPaCo by the loss alone.
_base_ = '../gpaco/gpaco_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py'
model = dict(
    head=dict(
        type='MultiTaskSupConClsHead',
        loss=dict(
            _delete_=True,
            type='MultiTaskSupConLoss',
            alpha=0.5,
            temperature=0.2,
            class_prior=None,
            label_smoothing=0.1,
        ),
    )
)
