# The other released design: the bias of the image also enters the prediction.
_base_ = '../_base_/benchmarks/ade20k_upernet_swin-tiny.py'
model = dict(
    decode_head=dict(
        type='RegionBiasDecodeHead',
        base_type='UPerHead',
        region_bias=dict(
            frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
            # Ours: no value was published.
            main_weight=1.0,
            region_weight=1.0,
            absent_weight=1.0,
            label_smoothing=0.0,
        ),
    )
)
