_base_ = './gpaco-deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py'
# alpha is the one the authors ran on this network.
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(loss_contrast=dict(alpha=0.02)),
)
