_base_ = [
    'mmseg::segnext/segnext_mscan-b_1xb16-adamw-160k_ade20k-512x512.py',
    '../_base_/tta/relative_2048x512.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='LightHamHead',
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    )
)
tta_pipeline = _base_.relative_tta_pipeline
# Also reports mIoU of the head, common and tail classes by training frequency.
val_evaluator = dict(
    type='LongTailIoUMetric',
    frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
)
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 1 GPUs x 16 images
