# Evaluates on ImageNet-C the checkpoints of the first base.
_base_ = [
    './ce_vit-large-p16-mae-pre_8xb16-accum8-amp-coslr-50e_in1k.py',
    '../_base_/datasets/in1k-robustness.py',
]
test_dataloader = dict(_delete_=True, **_base_.imagenet_c_dataloader)
test_dataloader['dataset']['pipeline'] = [
    *_base_.test_pipeline[:-1],
    dict(type='PackInputs', meta_keys=('img_path', 'corruption', 'severity')),
]
test_evaluator = dict(_delete_=True, **_base_.imagenet_c_evaluator)
