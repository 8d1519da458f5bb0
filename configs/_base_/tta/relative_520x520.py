# Multi-scale test of the GPaCo authors on Pascal Context: as on ADE20K, with a test scale of 520.
_base_ = './relative_2048x512.py'
relative_tta_pipeline = _base_.relative_tta_pipeline
relative_tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(int(520 * r), int(520 * r)), keep_ratio=True)
    for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
]
