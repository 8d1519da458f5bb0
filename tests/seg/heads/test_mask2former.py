"""Branches on heads that classify masks: the stock loss and prediction on a small decoder."""

import pytest
import torch
from helpers import mask_head  # noqa: F401  (registers the head)
from helpers.head_zoo import BN, NUM_CLASSES, make_samples
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.testing import assert_close

import paco_seg.seg  # noqa: F401
from paco_seg import compat
from paco_seg.core.frequency import ClassFrequency, log_class_prior, save_class_frequency
from paco_seg.engine.model_changes import read_config
from paco_seg.engine.systems import SystemInputs
from paco_seg.seg.heads.feature_taps import MaskClassificationTap, tap_for
from paco_seg.seg.systems import SYSTEMS

HEAD = dict(type='TinyMask2FormerHead', num_classes=NUM_CLASSES)
PIXELS = dict(num_pixels=40)
REGION = dict(reduced_channels=6, hidden_channels=8, norm_cfg=BN)
SETTINGS = {
    'gpaco': PIXELS,
    'region-rebalance': REGION,
    'region-rebalance-learnable': REGION,
    'ceco': REGION,
    'contrastive-seg': dict(norm_cfg=BN, out_channels=6, max_samples=64),
}
COUNTS = (500, 400, 300, 200, 100)


@pytest.fixture
def inputs(tmp_path):
    path = tmp_path / 'frequency.json'
    save_class_frequency(ClassFrequency(None, (9,) * 5, COUNTS, 9), path)
    return SystemInputs(str(path))


def build(config):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(config)


def swapped(name, inputs, **settings):
    cfg = Config(dict(default_scope='mmseg', model=dict(decode_head=dict(HEAD))))
    head = (
        SYSTEMS[name].apply(cfg, {**SETTINGS.get(name, {}), **settings}, inputs).model.decode_head
    )
    if name == 'gpaco':
        head.projector = dict(norm_cfg=BN, out_channels=6)
    return build(head)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 8, 16, 16, generator=generator)]


def losses_of(head, seed=0):
    torch.manual_seed(seed)
    return head.loss(batch(seed), make_samples(seed=seed), {})


def total(losses):
    return sum(value for key, value in losses.items() if 'loss' in key)


@pytest.mark.parametrize('name', SETTINGS)
def test_mask2former_branches_reach_the_pixel_decoder_alone(name, inputs):
    head = swapped(name, inputs)
    losses = losses_of(head)
    own = {k: v for k, v in losses.items() if k not in ('loss_cls', 'loss_mask', 'loss_pixel_ce')}
    assert 'loss_pixel_ce' in losses
    total(own).backward(retain_graph=True)
    assert all(p.grad.abs().sum() > 0 for p in head.pixel_decoder.parameters())
    for part in (head.cls_embed, head.mask_embed, head.query_embed):
        assert all(p.grad is None for p in part.parameters())
    classifier = head.training_branches['pixel_classifier'].classifier.weight
    before = None if classifier.grad is None else classifier.grad.clone()
    decoder = [p.grad.clone() for p in head.pixel_decoder.parameters()]
    losses['loss_pixel_ce'].backward()
    assert before is None or not torch.equal(classifier.grad, before)
    assert all(
        torch.equal(p.grad, old)
        for p, old in zip(head.pixel_decoder.parameters(), decoder, strict=True)
    )


@pytest.mark.parametrize('name', SETTINGS)
def test_mask2former_with_weight_zero_has_the_stock_gradients(name, inputs):
    stock, head = build(HEAD), swapped(name, inputs, loss_weight=0.0)
    head.load_state_dict(stock.state_dict(), strict=False)
    total(losses_of(stock)).backward()
    total(losses_of(head)).backward()
    gradients = dict(head.named_parameters())
    for key, parameter in stock.named_parameters():
        assert torch.equal(parameter.grad, gradients[key].grad), key


@pytest.mark.parametrize('name', SETTINGS)
def test_mask2former_predicts_as_the_stock_head_from_its_weights(name, inputs):
    stock, head = build(HEAD).eval(), swapped(name, inputs).eval()
    missing, unexpected = head.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith('training_branches.') for key in missing)
    metas = [dict(img_shape=(64, 64))] * 2
    with torch.no_grad():
        found = head.predict(batch(), metas, {})
        assert torch.equal(found, stock.predict(batch(), metas, {}))
    assert head._taps is None
    assert not head.pixel_decoder._forward_hooks


@pytest.mark.parametrize('name', SETTINGS)
def test_mask2former_ignored_crops_are_finite(name, inputs):
    head = swapped(name, inputs)
    samples = make_samples()
    for sample in samples:
        sample.gt_sem_seg.data.fill_(255)
    losses = head.loss(batch(), samples, {})
    assert losses['loss_pixel_ce'] == 0
    total(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_mask2former_log_prior_at_test_is_taken_off_the_log_evidence(inputs):
    stock = build(HEAD).eval()
    metas = [dict(img_shape=(64, 64))] * 2
    shift = log_class_prior(torch.tensor(COUNTS)).view(1, -1, 1, 1)
    with torch.no_grad():
        evidence = stock.predict(batch(), metas, {})
        for tau in (0.0, 1.0):
            head = swapped('log-prior-test', inputs, tau=tau).eval()
            head.load_state_dict(stock.state_dict())
            found = head.predict(batch(), metas, {})
            assert_close(found, evidence.log() - tau * shift)
        assert torch.equal(swapped('log-prior-test', inputs, tau=0.0).eval().predict(
            batch(), metas, {}
        ).argmax(1), evidence.argmax(1))  # fmt: skip


@pytest.mark.parametrize('name', ['log-prior', 'seesaw', 'focal', 'aucseg', 'ohem', 'region-bias'])
def test_mask2former_refuses_what_is_about_the_loss_of_pixels(name, inputs):
    with pytest.raises(ValueError, match=r'It classifies masks|through cls_seg'):
        swapped(name, inputs, **({'bank': False} if name == 'aucseg' else {}))


@pytest.fixture
def modules(monkeypatch):
    """Pretend that these modules are installed and no other of the two."""
    present = set()
    found = compat.importlib.util.find_spec

    def find_spec(name):
        return name in present or None if name in ('mmdet', 'mmcv._ext') else found(name)

    monkeypatch.setattr(compat.importlib.util, 'find_spec', find_spec)
    loaded = {k: v for k, v in compat.sys.modules.items() if k != 'mmcv._ext'}
    monkeypatch.setattr(compat.sys, 'modules', loaded)
    return present


def test_mask2former_says_what_is_missing(modules, monkeypatch):
    stand_in = type('Mask2FormerHead', (BaseModule,), {})
    with pytest.raises(ValueError, match=r'base_type: Mask2FormerHead cannot be built here: MMDet'):
        tap_for(stand_in)
    assert tap_for(type('Own', (stand_in,), {})) is MaskClassificationTap

    def fromfile(path, **kwargs):
        raise ImportError("Failed to import custom modules from {'imports': 'mmdet.models'}")

    monkeypatch.setattr(Config, 'fromfile', fromfile)
    config = 'mmseg::fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py'
    with pytest.raises(compat.MMStackError, match=r'MMDetection is not installed.*; mmcv has no'):
        read_config(config)
    modules |= {'mmdet'}
    with pytest.raises(compat.MMStackError, match='got an error: mmcv has no compiled operations'):
        read_config(config)
    modules |= {'mmcv._ext'}
    assert compat.why_no_mask_heads() == ''
    with pytest.raises(ImportError, match=r'^Failed to import custom modules'):
        read_config(config)


def test_mask2former_builds_with_operations_that_are_pretended(modules):
    modules |= {'mmdet'}
    compat.pretend_compiled_operations()
    assert compat.why_no_mask_heads() == ''
    with pytest.raises(RuntimeError, match=r'mmcv\._ext\.nms: expected compiled operations'):
        compat.sys.modules['mmcv._ext'].nms(1)
