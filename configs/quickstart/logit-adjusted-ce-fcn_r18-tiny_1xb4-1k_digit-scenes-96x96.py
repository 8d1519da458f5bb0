# Cross entropy of logits plus the log pixel prior; predictions use the raw logits.
_base_ = './ce-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(
            type='LogitAdjustedCrossEntropyLoss', frequency_file=_base_.frequency_file, tau=1.0
        )
    )
)
