# ADE20K-Full, UPerNet on ResNet-50: every part that has a label of its own for ignored pixels. No
# result of it was published; give it a system with `paco-seg swap`.
_base_ = [
    'mmseg::_base_/models/upernet_r50.py',
    '../datasets/ade20k-full.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_160k.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(512, 512), seg_pad_val=65535),
    decode_head=dict(num_classes=847, ignore_index=65535),
    auxiliary_head=dict(num_classes=847, ignore_index=65535),
)
