# Cross-entropy twin of gpaco-deeplabv3plus_r50-d8_4xb4-40k_pascal-context-59-480x480.py.
_base_ = [
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-40k_pascal-context-59-480x480.py',
    '../_base_/tta/relative_520x520.py',
]
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4 images
