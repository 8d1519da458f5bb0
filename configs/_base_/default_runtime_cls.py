_base_ = 'mmpretrain::_base_/default_runtime.py'
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
# A run of 400 epochs would fill the disk: keep the last checkpoint beside the periodic ones.
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1, save_last=True))
