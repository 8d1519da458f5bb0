# Hybrid-PSC: learnable prototypes take the place of the other views.
_base_ = './hybrid-sc_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    head=dict(
        loss_contrast=dict(_delete_=True, type='PrototypeContrastLoss', temperature=0.1),
    )
)
