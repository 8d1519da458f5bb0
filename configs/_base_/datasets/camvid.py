# CamVid, 480 x 360: 367 training, 101 validation and 233 test images, as published with the SegNet
# tutorial; 11 classes, void (label 11) is ignored. Settings are chosen on the validation split,
# the test split is only reported. docs/evidence.md says where the files come from.
dataset_type = 'CamVidDataset'
data_root = 'data/camvid/'
crop_size = (240, 320)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # never smaller than the crop: no training pixel is padding
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.75, 1.75), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,  # on a CPU, loading is a thirtieth of a step; beside a GPU set 2 or more
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=2,  # fits the cache of a CPU, where 8 take half as long again; all have one size
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='masks/test'),
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
