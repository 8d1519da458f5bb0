# The full Region Rebalance: the bias of the image also enters the prediction.
_base_ = './ce-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        type='RegionBiasDecodeHead',
        base_type='FCNHead',
        region_bias=dict(
            frequency_file=_base_.frequency_file,
            # as in the config on ADE20K
            main_weight=1.0,
            region_weight=1.0,
            absent_weight=1.0,
            label_smoothing=0.0,
        ),
    )
)
