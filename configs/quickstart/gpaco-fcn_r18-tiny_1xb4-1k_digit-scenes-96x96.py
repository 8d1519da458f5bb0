# Cross entropy plus the pixel-contrastive loss.
_base_ = './ce-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='FCNHead',
        loss_contrast=dict(
            type='PixelGPaCoLoss',
            alpha=0.01,
            temperature=0.07,
            # half of the 24x24 map, as the paper's 8192 of 128x128
            num_pixels=288,
            loss_weight=1.0,
        ),
    )
)
