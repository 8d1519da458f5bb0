_base_ = 'mmpretrain::_base_/default_runtime.py'
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
# A run of 400 epochs would fill the disk: keep the last checkpoint beside the best one, if any.
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1, save_last=True))
# class counts of the training set for losses with class_prior='auto', and the epoch for losses that
# change with it
custom_hooks = [dict(type='ClassCountHook'), dict(type='TrainingProgressHook')]
