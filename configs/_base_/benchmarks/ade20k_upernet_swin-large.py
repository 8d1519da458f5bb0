# ADE20K, UPerNet on Swin-Large, as the GPaCo authors ran it: 16 images per iteration.
_base_ = [
    'mmseg::swin/swin-large-patch4-window12-in22k-384x384-pre_upernet_8xb2-160k_ade20k-512x512.py',
    '../schedules/poly_from_start_160k.py',
    '../tta/relative_2048x512.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
param_scheduler = _base_.poly_from_start
tta_pipeline = _base_.relative_tta_pipeline
# The authors validate and save four times as often as the stock schedule.
train_cfg = dict(val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
# Also reports mIoU of the head, common and tail classes by training frequency.
val_evaluator = dict(
    type='LongTailIoUMetric', frequency_file='{{ fileDirname }}/../class_frequencies/ade20k.json'
)
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=16)
