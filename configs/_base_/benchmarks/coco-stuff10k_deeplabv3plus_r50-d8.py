# COCO-Stuff10k, DeepLabV3+ on ResNet-50.
_base_ = ['mmseg::_base_/models/deeplabv3plus_r50-d8.py', './coco-stuff10k_512x512_40k.py']
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=171),
    auxiliary_head=dict(num_classes=171),
)
