# Augmentation blocks of the 32x32 recipes without AutoAugment. Images are BGR here.
views = dict(
    # MMPretrain's CIFAR arrays are RGB while its color transforms expect BGR.
    load=[dict(type='NumpyToPIL'), dict(type='PILToNumpy', to_bgr=True)],
    pack=dict(type='PackInputs'),
    crop_flip=[
        dict(type='RandomCrop', crop_size=32, padding=4),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    ],
    gray=dict(
        type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)
    ),
)
