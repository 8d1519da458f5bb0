import pytest
from mmengine.config import Config
from mmseg.registry import HOOKS, MODELS

import paco_seg.engine  # noqa: F401  (registers hooks)
from paco_seg.engine.model_changes import build_without_memory
from paco_seg.seg import swap_loss
from paco_seg.seg.stock_config import input_shape, stock_config

STOCK = 'mmseg::ocrnet/ocrnet_hr18_4xb2-160k_cityscapes-512x1024.py'


def test_undoes_the_swap():
    swapped = swap_loss(STOCK, heads='all', alpha=0.02)
    plain = stock_config(swapped)
    assert 'paco' not in plain.pretty_text.lower()
    stock = Config.fromfile(Config._get_cfg_path(STOCK, '')[0])
    assert plain.model.to_dict() == stock.model.to_dict()
    names = build_without_memory(plain).state_dict().keys()
    assert names == build_without_memory(stock).state_dict().keys()


def test_everything_else_of_ours_is_replaced():
    cfg = Config(
        dict(
            custom_imports=dict(imports=['paco_seg.seg', 'os'], allow_failed_imports=False),
            custom_hooks=[dict(type='EMAHook'), dict(type='RNGStateHook')],
            default_hooks=dict(
                match=dict(type='CheckpointMatchHook', require='any'),
                a=dict(type='IterTimerHook'),
                checkpoint=dict(type='DurableCheckpointHook', interval=5, save_best='mIoU'),
            ),
            val_evaluator=dict(
                type='LongTailIoUMetric', iou_metrics=['mIoU'], frequency_file='f', per_class=False
            ),
            val_dataloader=dict(
                dataset=dict(type='DigitScenesDataset', data_root='d', ignore_index=255)
            ),
            model_wrapper_cfg=dict(type='CPUDistributedDataParallel'),
        )
    )
    plain = stock_config(cfg)
    assert plain.custom_imports.imports == ['os']
    assert plain.custom_hooks == [dict(type='EMAHook')]
    assert plain.default_hooks == dict(
        a=dict(type='IterTimerHook'),
        checkpoint=dict(type='CheckpointHook', interval=5, save_best='mIoU'),
    )
    assert plain.val_evaluator == dict(type='IoUMetric', iou_metrics=['mIoU'])
    dataset = plain.val_dataloader.dataset
    assert dataset.type == 'BaseSegDataset'
    assert dataset.metainfo.classes[0] == 'background'
    assert (dataset.img_suffix, dataset.seg_map_suffix) == ('.jpg', '.png')
    assert plain.model_wrapper_cfg.type == 'MMDistributedDataParallel'
    assert cfg.val_evaluator.type == 'LongTailIoUMetric'


@pytest.mark.parametrize('name', ['RareClassDataset', 'TailMemoryDataset'])
def test_a_data_set_of_ours_around_another_becomes_that_one(name):
    inner = dict(type='BaseSegDataset', data_root='d')
    wrapped = dict(type=name, dataset=inner)
    plain = stock_config(Config(dict(train_dataloader=dict(batch_size=2, dataset=wrapped))))
    assert plain.train_dataloader == dict(batch_size=2, dataset=inner)


def test_losses_of_ours_become_cross_entropy():
    head = dict(type='FCNHead', loss_decode=[dict(type='PixelGPaCoLoss', loss_weight=0.5)])
    plain = stock_config(Config(dict(model=dict(decode_head=head))))
    (loss,) = plain.model.decode_head.loss_decode
    assert loss == dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.5)


def test_a_loss_of_ours_beside_a_stock_one_goes():
    stock = dict(type='CrossEntropyLoss', loss_weight=0.5)
    head = dict(type='FCNHead', loss_decode=[stock, dict(type='SquareAUCLoss', loss_weight=4.0)])
    plain = stock_config(Config(dict(model=dict(decode_head=head))))
    assert plain.model.decode_head.loss_decode == [stock]


def test_label_maps_of_sixteen_bits_have_no_counterpart():
    steps = [dict(type='LoadLabelMap', ignore_index=65535)]
    with pytest.raises(ValueError, match=r'pipeline\.0\.ignore_index: expected a label of 8 bits'):
        stock_config(Config(dict(val_dataloader=dict(dataset=dict(pipeline=steps)))))
    steps = [dict(type='LoadLabelMap', ignore_index=255)]
    plain = stock_config(Config(dict(val_dataloader=dict(dataset=dict(pipeline=steps)))))
    assert plain.val_dataloader.dataset.pipeline == [dict(type='LoadAnnotations')]


def test_what_has_no_counterpart_is_named():
    assert MODELS.get('PixelGPaCoLoss') is not None
    assert HOOKS.get('RNGStateHook') is not None
    with pytest.raises(ValueError, match=r'model\.other\.type: expected a class that extends'):
        stock_config(Config(dict(model=dict(other=dict(type='PixelGPaCoLoss')))))


@pytest.mark.parametrize(
    ('preprocessor', 'backbone', 'shape'),
    [
        (dict(mean=[0.0] * 3, size=(64, 32)), dict(in_channels=3), (3, 64, 32)),
        (dict(mean=None, size=48), dict(in_channels=5), (5, 48, 48)),
        (dict(), dict(in_chans=4), (4, 128, 128)),
        (None, dict(), (3, 128, 128)),
    ],
)
def test_the_input_of_models_that_do_not_normalise(preprocessor, backbone, shape):
    cfg = Config(dict(model=dict(data_preprocessor=preprocessor, backbone=backbone)))
    assert input_shape(cfg) == shape


def test_a_data_set_that_maps_its_labels_is_refused():
    """BaseSegDataset would take the void label of CamVid for a class."""
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='CamVidDataset', data_root='a'))))
    with pytest.raises(ValueError, match=r'^test_dataloader\.dataset\.type: .* got CamVidDataset'):
        stock_config(cfg)
