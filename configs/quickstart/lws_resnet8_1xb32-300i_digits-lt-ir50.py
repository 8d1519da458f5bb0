# LWS: one scale per class on the fixed classifier of cross entropy, with classes drawn equally
# often.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(type='FrozenFeatureClassifier', head=dict(type='LWSClsHead'))
load_from = 'work_dirs/ce_resnet8_1xb32-300i_digits-lt-ir50/iter_300.pth'
data_preprocessor = dict(num_views=1)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassAwareSampler'),
    dataset=dict(pipeline=[_base_.views.load, *_base_.views.crop_jitter, _base_.views.pack]),
)
