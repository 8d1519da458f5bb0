# The other released design: the bias of the image also enters the prediction.
_base_ = [
    'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
    '../_base_/schedules/poly_from_start_160k.py',
    '../_base_/tta/relative_2048x512.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        type='RegionBiasDecodeHead',
        base_type='UPerHead',
        region_bias=dict(
            frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
            # Ours: no value was published.
            main_weight=1.0,
            region_weight=1.0,
            absent_weight=1.0,
            label_smoothing=0.0,
        ),
    ),
)
param_scheduler = _base_.poly_from_start
tta_pipeline = _base_.relative_tta_pipeline
# As the GPaCo configs: four times as often as the stock schedule.
train_cfg = dict(val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
# Also reports mIoU of the head, common and tail classes by training frequency.
val_evaluator = dict(
    type='LongTailIoUMetric',
    frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
)
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2 images
