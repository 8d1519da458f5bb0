# Multi-scale test of the GPaCo authors on Pascal Context: each ratio multiplies the test
# scale. The stock `tta_pipeline` multiplies the original image size, which gives other inputs (and
# other multi-scale numbers) wherever test images are resized. Use it as
# `tta_pipeline = _base_.relative_tta_pipeline`: two bases may not define one key.
relative_tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(520 * r), int(520 * r)), keep_ratio=True)
                for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
