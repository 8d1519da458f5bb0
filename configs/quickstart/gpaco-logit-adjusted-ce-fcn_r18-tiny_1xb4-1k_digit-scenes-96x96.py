# Log-prior cross entropy plus the pixel-contrastive loss.
_base_ = './gpaco-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(type='LogitAdjustedCrossEntropyLoss', frequency_file=_base_.frequency_file)
    )
)
