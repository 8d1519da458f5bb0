# Cross entropy, MAE fine-tuning of ViT-Large/16. The authors' batch of 1024 is 8 GPUs x 16 images x
# 8 accumulated steps.
_base_ = './ce_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py'
# The stock settings of ViT-Large where they differ from those of ViT-Base.
model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmselfsup/1.x/mae/'
            'mae_vit-large-p16_8xb512-fp16-coslr-1600e_in1k/'
            'mae_vit-large-p16_8xb512-fp16-coslr-1600e_in1k_20220825-cc7e98c9.pth'
        ),
    ),
    head=dict(in_channels=1024),
)
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(
    accumulative_counts=8, optimizer=dict(lr=4e-3), paramwise_cfg=dict(layer_decay_rate=0.75)
)
warmup, decay = _base_.param_scheduler
param_scheduler = [warmup, dict(decay, T_max=45, end=50, eta_min_ratio=2.5e-4)]
del warmup, decay
train_cfg = dict(max_epochs=50)
