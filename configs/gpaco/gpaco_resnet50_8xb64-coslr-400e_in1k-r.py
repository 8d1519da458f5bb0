# Evaluates on ImageNet-R the checkpoints of the first base.
_base_ = ['./gpaco_resnet50_8xb64-coslr-400e_in1k.py', '../_base_/datasets/in1k-robustness.py']
test_dataloader = dict(_delete_=True, **_base_.imagenet_r_dataloader)
test_dataloader['dataset']['pipeline'] = _base_.test_pipeline
test_evaluator = dict(_delete_=True, **_base_.imagenet_r_evaluator)
