# Cityscapes, DeepLabV3+ on ResNet-50: 4 GPUs x 2 images.
_base_ = 'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
auto_scale_lr = dict(enable=False, base_batch_size=8)
