"""The mechanism: generated classes, pickling, losses of branches, heads that misbehave."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from head_zoo import NUM_CLASSES, loss_arguments, make_inputs, make_samples
from mmseg.models.decode_heads import FCNHead, PSPHead
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.seg.heads import BranchDecodeHead, GPaCoDecodeHead, TrainingBranch
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


def test_unknown_settings_of_the_base_head_are_not_swallowed():
    with pytest.raises(TypeError, match='paco_w'):
        build(paco_w=1.0)
