# GPaCo, MAE fine-tuning of ViT-Base/16. Differs from cross entropy by loss and views; Mixup and
# CutMix are off. (The script also asks for random erasing, which its pipelines do not contain.)
_base_ = [
    '../baselines/ce_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py',
    '../_base_/pipelines/views_224.py',
]
model = dict(
    type='GPaCoClassifier',
    head=dict(
        _delete_=True,
        type='GPaCoClsHead',
        num_classes=1000,
        in_channels=768,
        projector=dict(num_layers=3, out_channels=128, norm=None, act='GELU'),
        queue_size=8192,
        loss=dict(
            type='GPaCoLoss', alpha=0.2, temperature=0.2, label_smoothing=0.1, class_prior=None
        ),
        # the classifier; the projector keeps PyTorch's default
        init_cfg=dict(type='TruncNormal', std=2e-5, override=dict(name='fc')),
    ),
    train_cfg=None,
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
custom_hooks = [dict(type='ClassCountHook')]
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [*_base_.views.rcs, dict(_base_.views.rand_augment, num_policies=12)],
            _base_.views.sim,
        ],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
