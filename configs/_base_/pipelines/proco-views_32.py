# Three views of ProCo on CIFAR: AutoAugment for the classifier, two for the contrast, with crops
# from 8 % of the image on and without blur.
_base_ = './views_32.py'
train_pipeline = [
    *_base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 2],
        transforms=[
            _base_.views.c_aa,
            [
                dict(type='RandomResizedCrop', scale=32, backend='pillow'),
                *_base_.views.c_sim[1:-1],
            ],
        ],
    ),
    _base_.views.pack,
]
