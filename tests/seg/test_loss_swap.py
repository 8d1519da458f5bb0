import copy

import pytest
import torch
from mmengine.config import Config
from mmseg.models.decode_heads import FCNHead, OCRHead, PSPHead
from mmseg.registry import MODELS

from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.model_changes import build_without_memory
from paco_seg.seg import swap_loss
from paco_seg.seg.heads import BranchDecodeHead, GPaCoDecodeHead
from paco_seg.seg.loss_swap import METHODS, advice

FCN = dict(
    type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=1, num_classes=3,
    norm_cfg=dict(type='BN'),
)  # fmt: skip
STDC = dict(type='STDCHead', in_channels=8, channels=8, num_classes=2, boundary_threshold=0.1)


def config(**model):
    return Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder', **model)))


def test_packaged_config():
    cfg = swap_loss('mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py', alpha=0.02)
    head = build_without_memory(cfg).decode_head
    assert isinstance(head, GPaCoDecodeHead)
    assert isinstance(head, PSPHead)
    assert cfg.model.decode_head.loss_contrast == dict(type='PixelGPaCoLoss', alpha=0.02)
    assert cfg.model.auxiliary_head.type == 'FCNHead'
    assert cfg.custom_imports.imports == ['paco_seg.seg']


def test_the_last_head_of_a_cascade_predicts():
    name = 'mmseg::ocrnet/ocrnet_hr18_4xb2-160k_cityscapes-512x1024.py'
    first, last = build_without_memory(swap_loss(name)).decode_head
    assert type(first) is FCNHead
    assert isinstance(last, GPaCoDecodeHead)
    assert isinstance(last, OCRHead)
    heads = build_without_memory(swap_loss(name, heads='all')).decode_head
    assert all(isinstance(head, GPaCoDecodeHead) for head in heads)


def test_auxiliary_heads_that_cannot_work_stay():
    cfg = config(decode_head=FCN, auxiliary_head=[FCN, STDC])
    assert swap_loss(cfg).model.auxiliary_head == [FCN, STDC]
    swapped = swap_loss(cfg, heads='all').model
    assert [head.type for head in swapped.auxiliary_head] == ['GPaCoDecodeHead', 'STDCHead']
    assert swapped.decode_head.type == 'GPaCoDecodeHead'


def test_losses_of_the_head_are_kept():
    losses = [
        dict(type='CrossEntropyLoss', loss_name='loss_ce', loss_weight=1.0),
        dict(type='DiceLoss', loss_name='loss_dice', loss_weight=3.0),
    ]
    cfg = config(decode_head=dict(FCN, loss_decode=losses))
    stock = copy.deepcopy(cfg)
    swapped = swap_loss(cfg, temperature=0.1)
    assert cfg.to_dict() == stock.to_dict()
    head = MODELS.build(swapped.model.decode_head)
    assert [loss.loss_name for loss in head.loss_decode] == ['loss_ce', 'loss_dice']
    assert head.training_branches.gpaco.loss_contrast.settings.temperature == 0.1
    # A stock checkpoint fits: only the branch is new.
    missing, unexpected = head.load_state_dict(
        MODELS.build(cfg.model.decode_head).state_dict(), strict=False
    )
    assert not unexpected
    assert all(name.startswith('training_branches.') for name in missing)


def test_scoped_names_work():
    head = swap_loss(config(decode_head=dict(FCN, type='mmseg.FCNHead'))).model.decode_head
    assert isinstance(MODELS.build(head), FCNHead)


@pytest.mark.parametrize('method', [method for method in METHODS if method != 'gpaco'])
def test_other_methods(method, tmp_path):
    frequency = ClassFrequency(('a', 'b', 'c'), (3, 2, 1), (30, 20, 10), 4)
    save_class_frequency(frequency, tmp_path / 'frequency.json')
    file = str(tmp_path / 'frequency.json')
    cfg = swap_loss(config(decode_head=FCN), method=method, frequency_file=file)
    head = MODELS.build(cfg.model.decode_head)
    assert isinstance(head, BranchDecodeHead)
    assert type(head.training_branches[method]).__name__ == METHODS[method].type


@pytest.mark.parametrize('method', [method for method in METHODS if method != 'gpaco'])
def test_no_prior_only_on_purpose(method):
    with pytest.raises(ValueError, match=r'frequency_file: expected .*frequency_file=None'):
        swap_loss(config(decode_head=FCN), method=method)
    cfg = swap_loss(config(decode_head=FCN), method=method, frequency_file=None)
    head = MODELS.build(cfg.model.decode_head)
    assert head.training_branches[method].region_prior is None


def test_alpha_follows_from_a_frequency_file():
    def loss(**options):
        return swap_loss(config(decode_head=FCN), **options).model.decode_head.loss_contrast

    assert loss(frequency_file='a.json').alpha == 'auto'
    assert loss(frequency_file='a.json', alpha=0.02).alpha == 0.02
    assert 'alpha' not in loss()


def test_advice_is_about_what_is_not_settled():
    scratch = config(decode_head=FCN)
    alpha, weight = advice(scratch)
    assert alpha.startswith('loss_contrast.alpha: 0.01')
    assert weight.startswith('loss_contrast.loss_weight: 1')
    assert not advice(scratch, frequency_file='a.json', loss_weight=0.5)
    assert not advice(scratch, method='ceco', frequency_file='a.json')
    pretrained = dict(type='Pretrained', checkpoint='a.pth')
    first, weight = advice(config(decode_head=FCN, backbone=dict(init_cfg=pretrained)))
    assert first == alpha
    assert '--set loss_weight=0.1 num_pixels=1024' in weight
    assert not advice(swap_loss(scratch, loss_weight=0.5))  # it has settings of its own


@pytest.mark.parametrize(
    ('model', 'options', 'message'),
    [
        (dict(backbone={}), {}, r'model\.decode_head: expected the decode head of a segmentor'),
        (dict(decode_head=STDC), {}, 'STDCHead.*binary boundaries'),
        (
            dict(decode_head=dict(FCN, type='GPaCoDecodeHead', base_type='FCNHead')),
            {},
            r'model\.decode_head\.type: expected a stock head',
        ),
        (dict(decode_head=[FCN, dict(FCN, type=FCNHead)]), {}, r'model\.decode_head\.1\.type'),
        (dict(decode_head=dict(FCN, type='NoHead')), {}, "got 'NoHead'"),
        (dict(decode_head=FCN), dict(method='other'), "method: expected one of 'gpaco'"),
        (dict(decode_head=FCN), dict(heads='some'), "heads: expected one of 'main', 'all'"),
    ],
)
def test_errors_name_the_key(model, options, message):
    with pytest.raises(ValueError, match=message):
        swap_loss(config(**model), **options)


def test_a_swapped_model_trains():
    head = MODELS.build(swap_loss(config(decode_head=FCN), num_pixels=-1).model.decode_head)
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=torch.randint(3, (1, 8, 8)))) for _ in range(2)
    ]
    losses = head.loss([torch.randn(2, 8, 8, 8)], samples, {})
    assert losses['loss_gpaco'] > 0
