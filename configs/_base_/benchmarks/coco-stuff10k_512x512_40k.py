# COCO-Stuff10k, crops of 512: 40k iterations of 4 GPUs x 4 images. For a stock model, which the
# config adds to its list of bases.
_base_ = [
    'mmseg::_base_/datasets/coco-stuff10k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    '../tta/relative_2048x512.py',
]
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)
