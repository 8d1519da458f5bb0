# Pascal Context, DeepLabV3+ on ResNet-50: 4 GPUs x 4 images.
_base_ = [
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-40k_pascal-context-59-480x480.py',
    '../tta/relative_520x520.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)
