# Evaluates on ImageNet-Sketch the checkpoints of the first base.
_base_ = [
    './gpaco_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py',
    '../_base_/datasets/in1k-robustness.py',
]
test_dataloader = dict(_delete_=True, **_base_.imagenet_sketch_dataloader)
test_dataloader['dataset']['pipeline'] = _base_.test_pipeline
test_evaluator = dict(_delete_=True, **_base_.imagenet_sketch_evaluator)
