# The baseline of the quickstart: a small FCN trained with cross entropy.
_base_ = [
    'mmseg::_base_/default_runtime.py',
    '../_base_/models/fcn_r18-tiny.py',
    '../_base_/datasets/digit-scenes.py',
    '../_base_/schedules/schedule_quickstart.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
# every logged loss and time is the mean of all iterations since the one before
log_processor = dict(window_size=20)
