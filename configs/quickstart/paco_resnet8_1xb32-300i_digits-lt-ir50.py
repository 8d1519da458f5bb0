# PaCo with the class prior: a momentum encoder provides the keys.
_base_ = './gpaco_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    type='PaCoClassifier',
    # an average over 0.99 of the past: 300 iterations are too few for .999
    momentum=0.99,
    head=dict(type='PaCoClsHead'),
)
