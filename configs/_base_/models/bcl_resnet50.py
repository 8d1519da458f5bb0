# BCL on a torchvision-style ResNet-50: cosine classifier with scale 30, embeddings of width 1024.
_base_ = './ce_resnet50.py'
model = dict(
    type='GPaCoClassifier',
    joint_pass=True,  # one set of BatchNorm statistics of the three views, as released
    head=dict(
        _delete_=True,
        type='BCLClsHead',
        num_classes=1000,
        in_channels=2048,
        projector=dict(num_layers=2, out_channels=1024, norm='BN1d', act='ReLU'),
        scale=30.0,
        loss=dict(type='BalancedSoftmaxLoss', class_prior='auto'),
        loss_contrast=dict(type='BCLLoss', temperature=0.07, loss_weight=0.35),
    ),
)
