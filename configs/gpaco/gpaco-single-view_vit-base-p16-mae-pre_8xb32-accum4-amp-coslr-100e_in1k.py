# GPaCo with a single view, MAE fine-tuning of ViT-Base/16: the anchors are the images
# themselves, and the queue receives them. The authors report no result for this row.
_base_ = './gpaco_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py'
data_preprocessor = dict(num_views=1)
train_pipeline = [
    _base_.views.load,
    *_base_.views.rcs,
    dict(_base_.views.rand_augment, num_policies=12),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
