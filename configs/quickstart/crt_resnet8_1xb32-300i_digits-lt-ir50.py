# cRT: a new classifier on the fixed features of cross entropy, with classes drawn equally often.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
stage_one = 'work_dirs/ce_resnet8_1xb32-300i_digits-lt-ir50/iter_300.pth'
init_cfg = dict(type='Pretrained', checkpoint=stage_one, prefix='backbone.')
model = dict(type='FrozenFeatureClassifier', backbone=dict(init_cfg=init_cfg))
del stage_one, init_cfg
data_preprocessor = dict(num_views=1)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassAwareSampler'),
    dataset=dict(pipeline=[_base_.views.load, *_base_.views.crop_jitter, _base_.views.pack]),
)
