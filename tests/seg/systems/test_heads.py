"""What each system writes into heads of different kinds."""

import mmseg
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.systems import SystemInputs
from paco_seg.seg.systems import SYSTEMS

FCN = dict(
    type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=1, num_classes=3,
    norm_cfg=dict(type='BN'),
)  # fmt: skip
CE, DICE = dict(type='CrossEntropyLoss', loss_weight=0.4), dict(type='DiceLoss', loss_weight=3.0)
KNET = dict(
    type='IterativeDecodeHead', num_stages=0, kernel_update_head=[],
    kernel_generate_head=dict(FCN, loss_decode=CE),
)  # fmt: skip
PIXELS = (800, 150, 50)
LOSS_SYSTEMS = ('class-weighted-ce', 'focal', 'dice', 'log-prior', 'seesaw')


@pytest.fixture
def inputs(tmp_path):
    frequency = ClassFrequency(('a', 'b', 'c'), (9, 5, 2), PIXELS, 10)
    save_class_frequency(frequency, tmp_path / 'frequency.json')
    return SystemInputs(str(tmp_path / 'frequency.json'))


def config(**model):
    model = {'data_preprocessor': dict(size=(64, 128)), **model}
    return Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder', **model)))


def head(name, cfg, inputs, **settings):
    return SYSTEMS.resolve(name).apply(cfg, settings, inputs).model.decode_head


def test_class_weights(inputs):
    cfg = config(decode_head=dict(FCN, loss_decode=CE))
    loss = head('class-weighted-ce', cfg, inputs).loss_decode
    assert (loss.type, loss.loss_weight) == ('CrossEntropyLoss', 0.4)
    # mean 1 over the pixels: each class has a third of the loss
    shares = [
        weight * pixels / 1000 for weight, pixels in zip(loss.class_weight, PIXELS, strict=True)
    ]
    assert shares == pytest.approx([1 / 3] * 3, rel=1e-4)
    effective = head('class-weighted-ce', cfg, inputs, weights='effective', beta=0.5)
    numbers = [(1 - 0.5**images) / 0.5 for images in (9, 5, 2)]
    ratio = effective.loss_decode.class_weight[2] / effective.loss_decode.class_weight[0]
    assert ratio == pytest.approx(numbers[0] / numbers[2], rel=1e-4)
    assert MODELS.build(effective).loss_decode.class_weight == effective.loss_decode.class_weight
    with pytest.raises(ValueError, match='expected 4 classes'):
        head('class-weighted-ce', config(decode_head=dict(FCN, num_classes=4)), inputs)


@pytest.mark.parametrize('version', [mmseg.__version__, '1.2.2'])
def test_class_weights_leave_ignored_pixels_out_of_the_mean(version, inputs, monkeypatch):
    """The stock loss cannot have weights and ``avg_non_ignore`` at once; the first is enough.

    That of MMSegmentation 1.2 cannot have weights and ignored pixels either.
    """
    monkeypatch.setattr('mmseg.__version__', version)
    stock = dict(CE, avg_non_ignore=True)
    loss = MODELS.build(
        head('class-weighted-ce', config(decode_head=dict(FCN, loss_decode=stock)), inputs)
    )
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    labels[0, :2] = 255
    assert (type(loss.loss_decode) is CrossEntropyLoss) == (version != '1.2.2')
    weights = torch.tensor(loss.loss_decode.class_weight)
    torch.testing.assert_close(
        loss.loss_decode(logits, labels, ignore_index=255),
        0.4 * F.cross_entropy(logits, labels, weights, ignore_index=255),
    )


def test_focal_keeps_the_settings_of_the_loss(inputs):
    cfg = config(decode_head=dict(FCN, loss_decode=dict(CE, avg_non_ignore=True)))
    assert head('focal', cfg, inputs, gamma=1.0).loss_decode == dict(
        type='SoftmaxFocalLoss', loss_weight=0.4, avg_non_ignore=True, gamma=1.0
    )


def test_a_loss_may_stand_in_a_list_and_a_sampler_may_be_none(inputs):
    cfg = config(decode_head=dict(FCN, loss_decode=[CE], sampler=None))
    assert head('focal', cfg, inputs).loss_decode.type == 'SoftmaxFocalLoss'
    assert head('ohem', cfg, inputs).sampler.type == 'OHEMPixelSampler'
    inner = dict(KNET['kernel_generate_head'], sampler=None, loss_decode=[CE])
    cfg = config(decode_head=dict(KNET, kernel_generate_head=inner))
    found = head('focal', cfg, inputs).kernel_generate_head
    assert (found.sampler, found.loss_decode.type) == (None, 'SoftmaxFocalLoss')
    found = head('ohem', cfg, inputs).kernel_generate_head
    assert found.sampler.type == 'OHEMPixelSampler'


def test_ohem_keeps_the_share_of_the_crop_that_mmsegmentation_keeps(inputs):
    found = head('ohem', config(decode_head=FCN), inputs)
    assert found.sampler == dict(type='OHEMPixelSampler', thresh=0.7, min_kept=1562)
    large = config(decode_head=FCN, data_preprocessor=dict(size=(512, 1024)))
    assert head('ohem', large, inputs).sampler.min_kept == 100_000
    assert head('ohem', large, inputs, min_kept=5, thresh=0.9).sampler.min_kept == 5
    inner = head('ohem', config(decode_head=KNET), inputs)
    assert inner.kernel_generate_head.sampler.type == 'OHEMPixelSampler'


def test_dice_stands_beside_the_cross_entropy(inputs):
    losses = head('dice', config(decode_head=FCN), inputs, loss_weight=2.0).loss_decode
    assert [loss.type for loss in losses] == ['CrossEntropyLoss', 'SoftmaxDiceLoss']
    assert losses[1].loss_weight == 2.0
    built = MODELS.build(head('dice', config(decode_head=FCN), inputs))
    assert [loss.loss_name for loss in built.loss_decode] == ['loss_ce', 'loss_dice']


def test_the_log_prior_replaces_class_weights(inputs):
    weighted = dict(CE, class_weight=[1.0, 2.0, 3.0])
    loss = head('log-prior', config(decode_head=dict(FCN, loss_decode=weighted)), inputs)
    assert loss.loss_decode == dict(
        type='LogitAdjustedCrossEntropyLoss',
        loss_weight=0.4,
        frequency_file=inputs.frequency_file,
        tau=1.0,
    )


def test_seesaw_replaces_class_weights(inputs):
    weighted = dict(CE, class_weight=[1.0, 2.0, 3.0])
    loss = head('seesaw', config(decode_head=dict(FCN, loss_decode=weighted)), inputs, p=0.4)
    assert loss.loss_decode == dict(
        type='PixelSeesawLoss', loss_weight=0.4, p=0.4, q=2.0, count_by='pixels'
    )
    assert MODELS.build(loss).loss_decode.p == 0.4


def test_contrastive_seg_passes_its_settings_on(inputs):
    found = head(
        'contrastive-seg', config(decode_head=FCN), inputs, memory_size=9, mining='hardest'
    )
    branch = MODELS.build(found).training_branches.contrastive_seg
    assert branch.pixel_memory.size == 9
    assert branch.mining == 'hardest'


def test_ceco_has_a_channel_for_every_class():
    """ADE20K-Full has more classes than the branch has channels."""
    settings = dict(frequency_file=None)
    found = head('ceco', config(decode_head=dict(FCN, num_classes=847)), None, **settings)
    branch = MODELS.build(found).training_branches.ceco
    assert branch.simplex.shape == (847, 847)
    found = head('ceco', config(decode_head=FCN), None, **settings)
    assert 'hidden_channels' not in found.training_branches.ceco


def test_aucseg_puts_a_loss_beside_and_a_bank_around(inputs):
    cfg = config(decode_head=dict(FCN, loss_decode=CE))
    cfg.train_dataloader = dict(batch_size=2, dataset=dict(type='D', data_root='data'))
    changed = SYSTEMS['aucseg'].apply(cfg, dict(loss_weight=4.0, tail_share=0.1), inputs)
    ce, auc = changed.model.decode_head.loss_decode
    assert ce == dict(CE, loss_name='loss_ce')
    assert auc == dict(type='SquareAUCLoss', gamma=1.0, loss_weight=4.0)
    assert MODELS.build(changed.model.decode_head).loss_decode[1].gamma == 1.0
    bank = changed.train_dataloader.dataset
    assert (bank.type, bank.tail_share, bank.resize) == ('TailMemoryDataset', 0.1, 1.0)
    assert bank.dataset == dict(type='D', data_root='data')
    assert bank.frequency_file == inputs.frequency_file
    alone = SYSTEMS['aucseg'].apply(cfg, dict(bank=False), inputs)
    assert alone.train_dataloader.dataset.type == 'D'
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset: expected another data set'):
        SYSTEMS['aucseg'].apply(changed, {}, inputs)


def test_gpaco_beside_the_log_prior_has_the_prior_in_its_centers(inputs):
    both = head('gpaco+log-prior', config(decode_head=FCN), inputs)
    assert (both.type, both.base_type) == ('GPaCoDecodeHead', 'FCNHead')
    assert both.loss_decode.type == 'LogitAdjustedCrossEntropyLoss'
    assert both.loss_contrast.class_prior == 1.0
    built = MODELS.build(both).training_branches.gpaco.loss_contrast
    assert built.class_prior.tolist() == pytest.approx([0.8, 0.15, 0.05])
    alone = head('gpaco', config(decode_head=FCN), inputs)
    assert 'class_prior' not in alone.loss_contrast
    assert alone.loss_contrast.alpha == 'auto'


@pytest.mark.parametrize(
    ('auxiliary', 'settings', 'has_prior'),
    [
        ({}, {'gpaco.heads': 'all', 'log-prior.heads': 'all'}, True),
        ({}, {'gpaco.heads': 'all'}, False),
        # the prior passes over it, and so does that of the centers
        (
            dict(loss_decode=dict(CE, use_sigmoid=True)),
            {'gpaco.heads': 'all', 'log-prior.heads': 'all'},
            False,
        ),
    ],
)
def test_centers_have_the_prior_where_the_cross_entropy_of_the_head_has_it(
    auxiliary, settings, has_prior, inputs
):
    cfg = config(decode_head=FCN, auxiliary_head=[dict(FCN, **auxiliary)])
    model = SYSTEMS.resolve('gpaco+log-prior').apply(cfg, settings, inputs).model
    assert model.decode_head.loss_contrast.class_prior == 1.0
    (other,) = model.auxiliary_head
    assert other.type == 'GPaCoDecodeHead'
    assert other.loss_contrast.get('class_prior', False) == (1.0 if has_prior else False)
    adjusted = (other.get('loss_decode') or {}).get('type') == 'LogitAdjustedCrossEntropyLoss'
    assert adjusted == has_prior
    MODELS.build(other)


def test_gpaco_and_region_rebalance_share_a_head(inputs):
    both = head('gpaco+region-rebalance', config(decode_head=FCN), inputs, **{'gpaco.alpha': 0.02})
    assert both.type == 'GPaCoDecodeHead'
    assert both.loss_contrast.alpha == 0.02
    assert set(MODELS.build(both).training_branches) == {'gpaco', 'region_rebalance'}


@pytest.mark.parametrize(
    ('partner', 'branch'), [('gpaco', 'gpaco'), ('region-rebalance', 'region_rebalance')]
)
def test_dice_and_a_branch_share_a_head(partner, branch, inputs):
    settings = {'dice.loss_weight': 3.0, f'{partner}.loss_weight': 0.1}
    both = head(f'dice+{partner}', config(decode_head=FCN), inputs, **settings)
    assert [(loss.type, loss.loss_weight) for loss in both.loss_decode] == [
        ('CrossEntropyLoss', 1.0),
        ('SoftmaxDiceLoss', 3.0),
    ]
    assert set(MODELS.build(both).training_branches) == {branch}


def test_a_setting_that_both_systems_have_wants_the_name_of_one(inputs):
    cfg = config(decode_head=FCN)
    with pytest.raises(ValueError, match=r'loss_weight: expected dice\.loss_weight or gpaco\.loss'):
        head('dice+gpaco', cfg, inputs, loss_weight=0.1)
    both = head('dice+gpaco', cfg, inputs, heads='all', **{'gpaco.loss_weight': 0.1})
    assert both.loss_contrast.loss_weight == 0.1
    assert both.loss_decode[1].loss_weight == 1.0


@pytest.mark.parametrize('name', LOSS_SYSTEMS)
def test_losses_of_lists_and_of_inner_heads(name, inputs):
    found = head(name, config(decode_head=dict(FCN, loss_decode=[CE, DICE])), inputs).loss_decode
    assert found[-1] == DICE  # what is no cross entropy stays
    assert found[0] != CE or len(found) == 3
    inner = head(name, config(decode_head=KNET), inputs).kernel_generate_head
    assert inner.loss_decode != CE
    assert inner.channels == 8


@pytest.mark.parametrize('name', [*LOSS_SYSTEMS, 'ohem'])
def test_the_last_head_of_a_cascade_or_all(name, inputs):
    cfg = config(decode_head=[FCN, dict(FCN, channels=4)], auxiliary_head=FCN)
    main = SYSTEMS[name].apply(cfg, {}, inputs).model
    assert main.decode_head[0] == FCN == main.auxiliary_head
    assert main.decode_head[1].channels == 4
    assert main.decode_head[1] != dict(FCN, channels=4)
    every = SYSTEMS[name].apply(cfg, dict(heads='all'), inputs).model
    assert every.auxiliary_head != FCN
    assert every.decode_head[0] != FCN


@pytest.mark.parametrize(
    ('name', 'changed', 'message'),
    [
        ('focal', dict(loss_decode=DICE), r'\.loss_decode: expected a softmax .*Dice'),
        ('log-prior', dict(loss_decode=dict(CE, use_sigmoid=True)), 'expected a softmax'),
        ('log-prior', dict(num_classes=2, out_channels=1), r'out_channels: expected one channel'),
        ('log-prior-test', dict(num_classes=2, out_channels=1), r'out_channels'),
        (
            'dice',
            dict(sampler=dict(type='OHEMPixelSampler')),
            r'\.sampler: expected none',
        ),
        (
            'aucseg',
            dict(sampler=dict(type='OHEMPixelSampler')),
            r'\.sampler: expected none',
        ),
        ('seesaw', dict(loss_decode=dict(CE, use_sigmoid=True)), 'expected a softmax'),
        ('contrastive-seg', dict(type='STDCHead'), 'binary boundaries'),
        ('dice', dict(type='PointHead'), 'Dice is the overlap of areas'),
        ('ohem', dict(type='PointHead'), 'PointRend chooses hard points itself'),
        ('ohem', dict(type='PIDHead'), 'hard example mining of its own'),
        (
            'ohem',
            dict(loss_decode=[CE, dict(type='DiceLoss')]),
            r"\.loss_decode: expected losses that take weights of pixels, got 'DiceLoss'",
        ),
        ('focal', dict(type='PIDHead', loss_decode=[CE, CE]), 'expected a softmax'),
        ('focal', dict(type='STDCHead'), 'binary boundaries'),
        ('focal', dict(type='NoHead'), "got 'NoHead'"),
        ('ceco', dict(type='GPaCoDecodeHead', base_type='FCNHead'), 'expected a stock head'),
    ],
)
def test_a_head_that_cannot_be_served(name, changed, message, inputs):
    with pytest.raises(ValueError, match=rf'(model\.decode_head|base_type).*{message}'):
        head(name, config(decode_head={**FCN, **changed}), inputs)


def test_rare_class_sampling_wraps_the_training_set(inputs):
    cfg = config(decode_head=FCN)
    cfg.train_dataloader = dict(batch_size=2, dataset=dict(type='D', data_root='data'))
    loader = SYSTEMS['rare-class-sampling'].apply(cfg, dict(temperature=0.1), inputs)
    found = loader.train_dataloader
    assert found.batch_size == 2
    assert found.dataset.type == 'RareClassDataset'
    assert found.dataset.dataset == dict(type='D', data_root='data')
    assert found.dataset.temperature == 0.1
    assert found.dataset.index_file == inputs.frequency_file[:-5] + '_by-image.json'
    for broken in (None, found.dataset):
        cfg.train_dataloader = dict(dataset=broken)
        with pytest.raises(ValueError, match=r'train_dataloader\.dataset: expected'):
            SYSTEMS['rare-class-sampling'].apply(cfg, {}, inputs)


def test_ce_takes_branches_away(inputs):
    stock = config(decode_head=[FCN, dict(FCN, channels=4)], auxiliary_head=FCN)
    assert SYSTEMS['ce'].changes(stock) == []
    for name in ('gpaco', 'region-bias', 'gpaco+log-prior', 'log-prior-test'):
        swapped = SYSTEMS.resolve(name).apply(stock, {}, inputs)
        back = SYSTEMS['ce'].apply(swapped).model
        assert back.decode_head[0] == FCN
        last = back.decode_head[1].to_dict()
        last.pop('loss_decode', None)  # stated in full where a loss of ours was replaced
        assert last == dict(FCN, channels=4)


def test_a_recipe_of_gpaco_is_gpaco_as_it_is(inputs):
    recipe = config(decode_head=dict(FCN, type='GPaCoDecodeHead', base_type='FCNHead'))
    assert SYSTEMS['gpaco'].changes(recipe, {}, inputs) == []
    (change,) = SYSTEMS['gpaco'].changes(recipe, dict(alpha=0.5), inputs)
    assert change.settings == dict(loss_contrast=dict(alpha=0.5))


POINT = dict(
    type='PointHead', in_channels=[8], in_index=[0], channels=8, num_fcs=1, num_classes=3,
    coarse_pred_each_layer=True, loss_decode=CE,
)  # fmt: skip


@pytest.mark.parametrize('name', ['log-prior', 'seesaw', 'class-weighted-ce', 'focal'])
def test_losses_of_pointrend_change_in_the_head_that_predicts_most_pixels(name, inputs):
    cfg = config(decode_head=[dict(FCN, loss_decode=CE), POINT])
    coarse, points = head(name, cfg, inputs)
    assert coarse.loss_decode == points.loss_decode != CE


def test_ohem_of_pointrend_is_that_of_the_head_before(inputs):
    cfg = config(decode_head=[dict(FCN, loss_decode=CE), POINT])
    with pytest.raises(ValueError, match='set heads=all for the head before it'):
        head('ohem', cfg, inputs)
    coarse, points = head('ohem', cfg, inputs, heads='all')
    assert coarse.sampler.type == 'OHEMPixelSampler'
    assert 'sampler' not in points
    with pytest.raises(ValueError, match=r'^model\.decode_head\.0\.type'):  # none can
        head('ohem', config(decode_head=[POINT]), inputs, heads='all')


def test_ce_keeps_what_cross_entropy_knows_of_a_loss_of_ours(inputs):
    loss = dict(
        type='LogitAdjustedCrossEntropyLoss',
        frequency_file=inputs.frequency_file,
        loss_weight=0.4,
        avg_non_ignore=True,
        loss_name='loss_main',
    )
    found = head('ce', config(decode_head=dict(FCN, loss_decode=loss)), inputs).loss_decode
    assert found == dict(
        type='CrossEntropyLoss',
        use_sigmoid=False,
        loss_weight=0.4,
        avg_non_ignore=True,
        loss_name='loss_main',
    )
    assert SYSTEMS.resolve('ce').change(config(decode_head=FCN), {}, inputs) == []


def test_gpaco_beside_a_log_prior_of_weight_zero_has_none(inputs):
    cfg = config(decode_head=FCN)
    found = head('gpaco+log-prior', cfg, inputs, **{'log-prior.tau': 0.0})
    assert found.loss_contrast.class_prior is False
    MODELS.build(found)


@pytest.mark.parametrize('name', ['log-prior', 'seesaw', 'class-weighted-ce'])
def test_an_auxiliary_head_does_not_stand_in_for_the_one_that_predicts(name, inputs):
    cfg = config(decode_head=dict(FCN, out_channels=1), auxiliary_head=dict(FCN, loss_decode=CE))
    with pytest.raises(
        ValueError, match=r'^model\.decode_head\.out_channels: expected one channel'
    ):
        head(name, cfg, inputs, heads='all')
