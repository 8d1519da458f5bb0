# ResLT on ImageNet-LT, ResNeXt-101 32x4d: half the batch and half the rate of ResNeXt-50.
_base_ = './reslt_resnext50-32x4d_4xb64-coslr-180e_imagenet-lt.py'
model = dict(backbone=dict(depth=101))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=0.05))
auto_scale_lr = dict(enable=False, base_batch_size=128)  # 4 GPUs x 32 images
