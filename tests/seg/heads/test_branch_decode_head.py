"""The mechanism: generated classes, pickling, losses of branches, heads that misbehave."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from helpers.head_zoo import NARROW_RESNET, NUM_CLASSES, loss_arguments, make_inputs, make_samples
from mmengine.optim import OptimWrapper
from mmseg.models.decode_heads import FCNHead, PSPHead
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.seg.heads import BranchDecodeHead, BranchInputs, GPaCoDecodeHead, TrainingBranch
from paco_seg.seg.heads.branch_decode_head import branch_head_class

FCN = dict(
    in_channels=8,
    in_index=0,
    channels=8,
    num_convs=1,
    num_classes=NUM_CLASSES,
    norm_cfg=dict(type='BN'),
)


@MODELS.register_module()
class MeanLogitBranch(TrainingBranch):
    """Adds ``weight`` times the mean logit, and reports the grid it saw."""

    def __init__(self, in_channels, num_classes, norm_cfg=None, weight=1.0):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(weight))
        self.seen = (in_channels, num_classes)

    def forward(self, inputs):
        assert inputs.features.shape[2:] == inputs.feature_labels.shape[1:]
        return {'loss_mean': self.scale * inputs.logits.mean(), 'grid': inputs.feature_labels}


@MODELS.register_module()
class TwiceHead(FCNHead):
    """A third-party head that classifies two maps."""

    def forward(self, inputs):
        feature = self._forward_feature(inputs)
        return self.cls_seg(feature) + self.cls_seg(feature)


def build(**settings):
    return MODELS.build({'type': 'BranchDecodeHead', 'base_type': 'FCNHead', **FCN, **settings})


def test_branches_get_the_width_of_the_classifier_and_add_their_losses():
    head = build(
        training_branches=dict(
            one=dict(type='MeanLogitBranch'), two=dict(type='MeanLogitBranch', weight=2.0)
        )
    )
    assert head.training_branches.one.seen == (8, NUM_CLASSES)
    losses = head.loss(*loss_arguments('FCNHead'))
    # Losses under one name are added, as MMSegmentation adds those of one head.
    single = build(training_branches=dict(one=dict(type='MeanLogitBranch')))
    single.load_state_dict(head.state_dict(), strict=False)
    single.dropout = head.dropout = None
    losses = head.loss(*loss_arguments('FCNHead'))
    expected = single.loss(*loss_arguments('FCNHead'))
    torch.testing.assert_close(losses['loss_mean'], 3 * expected['loss_mean'])
    assert losses['grid'].shape[1:] == (8, 8)


def test_instances_belong_to_both_families():
    head = build()
    assert isinstance(head, FCNHead)
    assert isinstance(head, BranchDecodeHead)
    gpaco = MODELS.build(dict(type='GPaCoDecodeHead', base_type='mmseg.PSPHead', **SETTINGS_PSP))
    assert isinstance(gpaco, PSPHead)
    assert isinstance(gpaco, GPaCoDecodeHead)


SETTINGS_PSP = dict(in_channels=8, in_index=0, channels=8, num_classes=5, pool_scales=(1,))


def test_class_is_generated_once_and_pickles():
    assert branch_head_class(GPaCoDecodeHead, 'FCNHead') is branch_head_class(
        GPaCoDecodeHead, FCNHead
    )
    head = MODELS.build(dict(type='GPaCoDecodeHead', base_type='FCNHead', **FCN)).eval()
    inputs = make_inputs('FCNHead')
    for twin in (pickle.loads(pickle.dumps(head)), copy.deepcopy(head)):
        assert type(twin) is type(head)
        torch.testing.assert_close(twin(inputs), head(inputs), rtol=0, atol=0)
    assert pickle.loads(pickle.dumps(type(head))) is type(head)
    buffer = io.BytesIO()
    torch.save(head, buffer)
    buffer.seek(0)
    assert type(torch.load(buffer, weights_only=False)) is type(head)


def test_a_head_that_classifies_twice_is_named():
    head = build(base_type='TwiceHead', training_branches=dict(one=dict(type='MeanLogitBranch')))
    message = 'TwiceHead classified 2 times in one training step, expected once'
    with pytest.raises(RuntimeError, match=message):
        head.loss(*loss_arguments('FCNHead'))
    assert head._taps is None


def test_taps_close_when_the_stock_loss_fails():
    head = build()
    with pytest.raises(AttributeError):
        head.loss(make_inputs('FCNHead'), [object()], None)
    assert head._taps is None


def test_data_samples_are_found_by_name_too():
    head = build(training_branches=dict(one=dict(type='MeanLogitBranch')))
    inputs, samples = make_inputs('FCNHead'), make_samples()
    for losses in (
        head.loss(inputs, batch_data_samples=samples, train_cfg=None),
        head.loss(inputs, samples, train_cfg=None),
    ):
        assert 'loss_mean' in losses


@pytest.mark.parametrize(
    ('base_type', 'message'),
    [
        (None, 'base_type: expected the name of a registered decode head, got nothing'),
        ('FCNhead', "got 'FCNhead'. Did you mean 'FCNHead'"),
        ('Nonsense', "got 'Nonsense'. A head of your own has to be imported"),
        ('ResNetV1c', 'ResNetV1c cannot carry a training branch: it is not a BaseDecodeHead'),
    ],
)
def test_wrong_base_type(base_type, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='BranchDecodeHead', base_type=base_type, **FCN))
    with pytest.raises(TypeError, match=r'^base_type: expected the name of .*, got 7'):
        MODELS.build(dict(type='BranchDecodeHead', base_type=7, **FCN))


def test_unknown_settings_of_the_base_head_are_not_swallowed():
    with pytest.raises(TypeError, match='paco_w'):
        build(paco_w=1.0)


REGION = dict(type='RegionRebalanceBranch', loss_weight=0.0, norm_cfg=dict(type='BN'))
CECO = dict(type='CeCoBranch', loss_weight=0.0, norm_cfg=dict(type='BN'))
LAYERS = dict(type='Xavier', layer='Conv2d')


def segmentor(seed, head, init_cfg=None):
    """An EncoderDecoder whose auxiliary head is built after the decode head."""
    torch.manual_seed(seed)
    settings = dict(FCN, in_channels=16, init_cfg=init_cfg)
    if init_cfg is None:
        del settings['init_cfg']
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
            backbone=dict(NARROW_RESNET, norm_cfg=dict(type='BN')),
            decode_head={**settings, 'in_index': 1, **head},
            auxiliary_head=dict(FCN, type='FCNHead'),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )
    model.init_weights()
    return model.train()


def shared(model):
    skipped = ('decode_head.training_branches', 'decode_head.region_bias')
    return {k: v for k, v in model.state_dict().items() if not k.startswith(skipped)}


def assert_same_state(ours, stock):
    assert ours.keys() == stock.keys()
    assert [key for key in stock if not torch.equal(ours[key], stock[key])] == []


@pytest.mark.parametrize(
    'branch',
    [REGION, dict(REGION, learnable=True), CECO],
    ids=['region_rebalance', 'learnable', 'ceco'],
)
def test_weight_0_is_the_base_network_bit_for_bit(branch):
    """From the first weight to the second step, with the auxiliary head and dropout."""
    head = dict(type='BranchDecodeHead', base_type='FCNHead', training_branches=dict(one=branch))
    states = []
    for settings in (head, dict(type='FCNHead')):
        model = segmentor(3, settings)
        optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=0.01))
        start = shared(copy.deepcopy(model))
        for step in range(2):
            images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(step))
            losses = model.loss(images, make_samples())
            optimizer.update_params(model.parse_losses(losses)[0])
        states.append((start, shared(model), torch.rand(1)))
    assert_same_state(states[0][0], states[1][0])
    assert_same_state(states[0][1], states[1][1])
    assert not torch.equal(*(state['decode_head.conv_seg.weight'] for state in states[0][:2]))
    assert states[0][2] == states[1][2]  # what is drawn next


@pytest.mark.parametrize('init_cfg', [None, LAYERS], ids=['stock', 'layers'])
@pytest.mark.parametrize('head', ['GPaCoDecodeHead', 'RegionBiasDecodeHead'])
def test_base_network_starts_as_without_branches(head, init_cfg):
    ours = segmentor(3, dict(type=head, base_type='FCNHead'), init_cfg)
    stock = segmentor(3, dict(type='FCNHead'), init_cfg)
    assert_same_state(shared(ours), shared(stock))
    # the seed decides the weights of the branches too
    again = segmentor(3, dict(type=head, base_type='FCNHead'), init_cfg).state_dict()
    other = segmentor(4, dict(type=head, base_type='FCNHead'), init_cfg).state_dict()
    added = [key for key in again if key not in shared(ours) and key.endswith('weight')]
    matrices = [key for key in added if again[key].dim() > 1]
    assert matrices
    assert all(torch.equal(again[key], ours.state_dict()[key]) for key in added)
    assert not any(torch.equal(again[key], other[key]) for key in matrices)


def test_init_cfg_of_a_branch_counts():
    branch = dict(REGION, init_cfg=dict(type='Constant', val=0.25, layer='Linear'))
    head = build(training_branches=dict(one=branch))
    head.init_weights()
    assert (head.training_branches.one.classifier[1].weight == 0.25).all()


def test_one_checkpoint_for_head_and_branches(tmp_path):
    head = build(training_branches=dict(one=REGION))
    state = {key: torch.full_like(value, 2) for key, value in head.state_dict().items()}
    torch.save(state, tmp_path / 'head.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'head.pth'))
    head = build(training_branches=dict(one=REGION), init_cfg=init_cfg)
    head.init_weights()
    assert all((value == 2).all() for value in head.state_dict().values())


def test_a_binary_head_that_ignores_no_label():
    """ignore_index=None of a sigmoid loss, as MMSegmentation has it."""
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    binary = dict(num_classes=2, out_channels=1, ignore_index=None, loss_decode=loss)
    contrast = dict(type='PixelGPaCoLoss', num_pixels=-1, alpha=0.05)
    torch.manual_seed(0)
    head = build(type='GPaCoDecodeHead', loss_contrast=contrast, dropout_ratio=0.0, **binary)
    features, samples = make_inputs('FCNHead'), make_samples()
    for sample in samples:
        sample.gt_sem_seg.data %= 2
    found = head.loss(features, samples, {})
    head.ignore_index = 255
    for name, value in head.loss(features, samples, {}).items():
        torch.testing.assert_close(found[name], value)


def test_labels_that_are_no_class_are_ignored_where_no_label_is_named():
    labels = torch.tensor([[[0, 1], [2, 255]], [[-1, 1], [0, 0]]])
    maps = torch.zeros(2, 2, 2, 2)
    inputs = BranchInputs(maps, maps, labels, labels, None)
    expected = [[[0, 1], [-100, -100]], [[-100, 1], [0, 0]]]
    assert inputs.ignore_index == -100
    assert inputs.feature_labels.tolist() == inputs.labels.tolist() == expected
