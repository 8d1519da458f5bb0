# Three views of BCL and ProCo: RandAugment for the classifier, two without it for the contrast
# ("sim-sim": as SimCLR without blur).
_base_ = './views_224.py'
sim = [
    *_base_.views.rc[:2],
    dict(
        type='RandomApply',
        transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
        ],
        prob=0.8,
    ),
    _base_.views.rcs[3],  # gray
]
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 2],
        transforms=[[*_base_.views.rc, _base_.views.rand_augment], sim],
    ),
    _base_.views.pack,
]
del sim
