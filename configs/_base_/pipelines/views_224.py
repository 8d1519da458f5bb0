# Augmentation blocks of the 224x224 recipes. A config composes its views from them, for example
# [*_base_.views.rc, dict(_base_.views.rand_augment, num_policies=3)]. Images are BGR here.
crop = dict(type='RandomResizedCrop', scale=224, backend='pillow')
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
jitter = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4)
gray = dict(
    type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)
)
blur = dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5)
views = dict(
    load=dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    pack=dict(type='PackInputs'),
    rc=[crop, flip, jitter],
    # RC with gray and blur ("stack")
    rcs=[crop, flip, jitter, gray, blur],
    # the view of SimCLR, without hue and without RandAugment
    sim=[crop, jitter, gray, blur, flip],
    # rand-n{n}-m{m}-mstd0.5 with the op set whose strength does not increase with the level (the
    # default set of timm; the preset timm_increasing of MMPretrain is the other one). Each of the
    # 15 ops is listed twice: the five geometric ones once with each interpolation, which is a
    # random choice between the two, so that the uniform draw over 30 is one over 15.
    rand_augment=dict(
        type='RandAugment',
        policies=[
            policy
            for interpolation in ('bilinear', 'bicubic')
            for policy in (
                dict(type='AutoContrast'),
                dict(type='Equalize'),
                dict(type='Invert'),
                dict(type='Rotate', magnitude_range=(0, 30), interpolation=interpolation),
                # int(0.4 * level) bits: MMPretrain rounds the bits up, hence the shift by one
                dict(type='Posterize', magnitude_range=(-1 + 1e-9, 3 + 1e-9)),
                dict(type='Solarize', magnitude_range=(0, 256)),
                dict(type='SolarizeAdd', magnitude_range=(0, 110)),
                dict(type='ColorTransform', magnitude_range=(-0.9, 0.9), random_negative_prob=0),
                dict(type='Contrast', magnitude_range=(-0.9, 0.9), random_negative_prob=0),
                dict(type='Brightness', magnitude_range=(-0.9, 0.9), random_negative_prob=0),
                dict(type='Sharpness', magnitude_range=(-0.9, 0.9), random_negative_prob=0),
                *(
                    dict(
                        type=shift,
                        magnitude_range=(0, largest),
                        direction=direction,
                        interpolation=interpolation,
                    )
                    for shift, largest in (('Shear', 0.3), ('Translate', 0.45))
                    for direction in ('horizontal', 'vertical')
                ),
            )
        ],
        num_policies=2,
        magnitude_level=10,
        magnitude_std=0.5,
        total_level=10,
        hparams=dict(pad_val=[104, 116, 124]),
    ),
)
del crop, flip, jitter, gray, blur
