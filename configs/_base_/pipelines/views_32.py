# Augmentation blocks of the CIFAR recipes.

# AutoAugment policies found on CIFAR-10 (arXiv 1805.09501), with the magnitude index 0..9 resolved:
# each image meets one of these pairs. Rotations are counter-clockwise only; the fill is gray 128,
# MMPretrain's default.
cifar10_policies = [
    [dict(type='Invert', prob=0.1), dict(type='Contrast', magnitude=0.6, prob=0.2)],
    [
        dict(type='Rotate', angle=-30 / 9 * 2, prob=0.7, random_negative_prob=0),
        dict(type='Translate', magnitude=150 / 331 / 9 * 9, prob=0.3, direction='horizontal'),
    ],
    [
        dict(type='Sharpness', magnitude=0.1, prob=0.8),
        dict(type='Sharpness', magnitude=0.3, prob=0.9),
    ],
    [
        dict(type='Shear', magnitude=0.3 / 9 * 8, prob=0.5, direction='vertical'),
        dict(type='Translate', magnitude=150 / 331 / 9 * 9, prob=0.7, direction='vertical'),
    ],
    [dict(type='AutoContrast', prob=0.5), dict(type='Equalize', prob=0.9)],
    [
        dict(type='Shear', magnitude=0.3 / 9 * 7, prob=0.2, direction='vertical'),
        dict(type='Posterize', bits=5, prob=0.3),
    ],
    [
        dict(type='ColorTransform', magnitude=0.3, prob=0.4),
        dict(type='Brightness', magnitude=0.7, prob=0.6),
    ],
    [
        dict(type='Sharpness', magnitude=0.9, prob=0.3),
        dict(type='Brightness', magnitude=0.9, prob=0.7),
    ],
    [dict(type='Equalize', prob=0.6), dict(type='Equalize', prob=0.5)],
    [
        dict(type='Contrast', magnitude=0.7, prob=0.6),
        dict(type='Sharpness', magnitude=0.5, prob=0.6),
    ],
    [
        dict(type='ColorTransform', magnitude=0.7, prob=0.7),
        dict(type='Translate', magnitude=150 / 331 / 9 * 8, prob=0.5, direction='horizontal'),
    ],
    [dict(type='Equalize', prob=0.3), dict(type='AutoContrast', prob=0.4)],
    [
        dict(type='Translate', magnitude=150 / 331 / 9 * 3, prob=0.4, direction='vertical'),
        dict(type='Sharpness', magnitude=0.6, prob=0.2),
    ],
    [
        dict(type='Brightness', magnitude=0.6, prob=0.9),
        dict(type='ColorTransform', magnitude=0.8, prob=0.2),
    ],
    [dict(type='Solarize', thr=256 * (1 - 2 / 9), prob=0.5), dict(type='Invert', prob=0.0)],
    [dict(type='Equalize', prob=0.2), dict(type='AutoContrast', prob=0.6)],
    [dict(type='Equalize', prob=0.2), dict(type='Equalize', prob=0.6)],
    [dict(type='ColorTransform', magnitude=0.9, prob=0.9), dict(type='Equalize', prob=0.6)],
    [dict(type='AutoContrast', prob=0.8), dict(type='Solarize', thr=256 * (1 - 8 / 9), prob=0.2)],
    [
        dict(type='Brightness', magnitude=0.3, prob=0.1),
        dict(type='ColorTransform', magnitude=0.0, prob=0.7),
    ],
    [dict(type='Solarize', thr=256 * (1 - 5 / 9), prob=0.4), dict(type='AutoContrast', prob=0.9)],
    [
        dict(type='Translate', magnitude=150 / 331 / 9 * 9, prob=0.9, direction='vertical'),
        dict(type='Translate', magnitude=150 / 331 / 9 * 9, prob=0.7, direction='vertical'),
    ],
    [dict(type='AutoContrast', prob=0.9), dict(type='Solarize', thr=256 * (1 - 3 / 9), prob=0.8)],
    [dict(type='Equalize', prob=0.8), dict(type='Invert', prob=0.1)],
    [
        dict(type='Translate', magnitude=150 / 331 / 9 * 9, prob=0.7, direction='vertical'),
        dict(type='AutoContrast', prob=0.9),
    ],
]
# the view of SimCLR
c_sim = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandomApply',
        transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
        ],
        prob=0.8,
    ),
    dict(
        type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)
    ),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
views = dict(
    # MMPretrain's CIFAR arrays are RGB while its color transforms expect BGR.
    load=[dict(type='NumpyToPIL'), dict(type='PILToNumpy', to_bgr=True)],
    pack=dict(type='PackInputs'),
    c_aa=[
        dict(type='RandomCrop', crop_size=32, padding=4),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='AutoAugment', policies=cifar10_policies),
        # black before normalisation
        dict(type='ClippedCutout', length=16, pad_val=0),
    ],
    c_sim=c_sim,
    # the same with less blur
    c_sim_weak_blur=[*c_sim[:-1], dict(c_sim[-1], prob=0.2)],
)
del cifar10_policies, c_sim
