# Cross entropy on iNaturalist 2018, ResNet-152: 4 GPUs x 32 images instead of 8 x 16.
_base_ = './ce_resnet50_8xb16-coslr-400e_inat18.py'
model = dict(backbone=dict(depth=152))
train_dataloader = dict(batch_size=32)
