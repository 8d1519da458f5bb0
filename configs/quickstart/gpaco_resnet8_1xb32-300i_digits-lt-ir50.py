# GPaCo with the class prior. The published alpha (0.05 with 8192 keys of 1000 classes) would be far
# too large for ten classes.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    head=dict(
        type='GPaCoClsHead',
        projector=dict(num_layers=2, out_channels=32),
        # about two passes over the training images
        queue_size=512,
        loss=dict(
            _delete_=True, type='GPaCoLoss', alpha='auto', temperature=0.2, class_prior='auto'
        ),
    )
)
