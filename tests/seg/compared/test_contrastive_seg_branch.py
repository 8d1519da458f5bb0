"""ContrastiveSeg around decode heads: its loss, its memory, and what it leaves alone."""

import copy

import pytest
import torch
from helpers.head_zoo import BN, CASCADE, NUM_CLASSES, ZOO, loss_arguments, make_inputs
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from references.pixel_contrast import contrast_loss
from torch.testing import assert_close

import paco_seg.seg  # noqa: F401
from paco_seg.seg.heads import BranchInputs

SMALL = dict(type='ContrastiveSegBranch', out_channels=6, norm_cfg=BN, max_samples=64, max_views=8)
MEMORY = dict(SMALL, memory_size=7, memory_pixels=2, memory_samples=5)
HEADS = ('FCNHead', 'UPerHead', 'IterativeDecodeHead', 'SegmenterMaskTransformerHead')


def build(settings, name='FCNHead'):
    torch.manual_seed(0)
    branches = {} if settings is None else {'contrastive_seg': settings}
    arguments = dict(copy.deepcopy(ZOO[name][0]), base_type=name, training_branches=branches)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(dict(arguments, type='BranchDecodeHead'))


def build_branch(settings):
    torch.manual_seed(0)
    return MODELS.build(dict(settings, in_channels=8, num_classes=NUM_CLASSES))


def inputs_of(labels, seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(labels), 8, 4, 4, generator=generator, **kwargs)
    logits = torch.randn(len(labels), NUM_CLASSES, 4, 4, generator=generator)
    return BranchInputs(features, logits, labels, labels, 255)


@pytest.fixture
def labels():
    values = torch.randint(NUM_CLASSES, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    values[0, 0] = 255
    return values


@pytest.mark.parametrize('name', HEADS)
def test_contrast_reaches_the_decoder_and_the_projector(name):
    head = build(MEMORY, name)
    head.loss(*loss_arguments(name))  # fills the memory
    loss = head.loss(*loss_arguments(name, seed=1))['loss_contrast']
    loss.backward()
    assert loss > 0
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for n, p in head.training_branches.named_parameters()
        if n.endswith('weight')
    )
    others = [p.grad for n, p in head.named_parameters() if 'training_branches' not in n]
    assert sum(float(grad.abs().sum()) for grad in others if grad is not None) > 0


def test_the_loss_is_that_of_all_pixels_where_all_are_anchors(labels):
    module = build_branch(dict(SMALL, max_samples=1024, loss_weight=0.5)).eval().double()
    inputs = inputs_of(labels, dtype=torch.float64)
    found = module(inputs)['loss_contrast']
    rows = torch.nn.functional.normalize(module.projector(inputs.features), dim=1)
    rows = rows.permute(0, 2, 3, 1).reshape(-1, 6)
    flat = labels.flatten().masked_fill(labels.flatten() == 255, -1)
    wanted = contrast_loss(rows.tolist(), flat.tolist(), 0.1, 0.07)
    assert found.item() == pytest.approx(0.5 * wanted, rel=1e-6)


def test_memory_holds_pixels_of_their_class_and_means_of_regions(labels):
    module = build_branch(dict(MEMORY, memory_pixels=100, memory_size=100))
    inputs = inputs_of(labels)
    module(inputs)
    rows = torch.nn.functional.normalize(module.projector(inputs.features), dim=1)
    rows = rows.permute(0, 2, 3, 1).detach()
    pixels, regions = module.pixel_memory, module.region_memory
    for label in range(NUM_CLASSES):  # the first one too
        own = rows[labels == label]
        start = label * 100
        assert pixels.filled[label] == len(own)
        found = pixels.keys[start : start + len(own)]
        assert_close(found.sort(dim=0).values, own.sort(dim=0).values, atol=1e-5, rtol=1e-5)
        means = [
            torch.nn.functional.normalize(image[part == label].mean(dim=0), dim=0)
            for image, part in zip(rows, labels, strict=True)
            if (part == label).any()
        ]
        assert regions.filled[label] == len(means)
        found = regions.keys[start : start + len(means)]
        assert_close(found, torch.stack(means), atol=1e-5, rtol=1e-5)


def test_memory_is_of_the_training_alone_and_resumes(labels):
    module, other = build_branch(MEMORY), build_branch(MEMORY)
    module.eval()(inputs_of(labels))
    assert int(module.pixel_memory.filled.sum()) == 0
    module.train()(inputs_of(labels))
    other.load_state_dict(module.state_dict())
    losses = []
    for each in (module, other):
        torch.manual_seed(1)
        losses.append(each(inputs_of(labels, seed=1))['loss_contrast'])
        losses.append(each(inputs_of(labels, seed=2))['loss_contrast'])
    assert losses[:2] == losses[2:]


def test_memory_adds_contrast(labels):
    module = build_branch(MEMORY).eval()
    torch.manual_seed(2)
    alone = module(inputs_of(labels))['loss_contrast']
    module.train()(inputs_of(labels, seed=3))
    torch.manual_seed(2)
    assert module.eval()(inputs_of(labels))['loss_contrast'] != alone


def test_weight_zero_trains_bit_for_bit_like_the_base_head():
    results = []
    for settings in (None, dict(MEMORY, loss_weight=0.0)):
        head = build(settings)
        optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
        torch.manual_seed(1)  # of the dropout
        for step in range(2):
            losses = head.loss(*loss_arguments('FCNHead', seed=step))
            optimizer.zero_grad()
            sum(value for key, value in losses.items() if 'loss' in key).backward()
            assert all(p.grad is not None for p in head.parameters())
            optimizer.step()
        results.append(head.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


@pytest.mark.parametrize('name', HEADS)
def test_inference_is_that_of_the_base_head(name):
    base, head = build(None, name).eval(), build(MEMORY, name).eval()
    missing, unexpected = head.load_state_dict(base.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith('training_branches.contrastive_seg.') for key in missing)
    head.training_branches['contrastive_seg'].forward = None  # it is not called
    inputs = make_inputs(name)
    arguments = (inputs, loss_arguments(name)[1]) if name in CASCADE else (inputs,)
    with torch.no_grad():
        assert_close(head(*arguments), base(*arguments), rtol=0, atol=0)


@pytest.mark.parametrize('mining', ['all', 'hardest', 'semi-hard'])
def test_ignored_images_give_zero(mining):
    module = build_branch(dict(MEMORY, mining=mining))
    inputs = inputs_of(torch.full((2, 4, 4), 255), requires_grad=True)
    (loss,) = module(inputs).values()
    loss.backward()
    assert loss.item() == 0
    assert (inputs.features.grad == 0).all()
    assert int(module.region_memory.filled.sum()) == 0


def test_the_loss_starts_where_it_is_told(labels):
    hub = MessageHub.get_instance('contrastive-seg-start')
    module = build_branch(dict(MEMORY, start_iter=3)).eval()
    losses = []
    for iteration in (0, 2, 3):
        hub.update_info('iter', iteration)
        torch.manual_seed(0)
        losses.append(module(inputs_of(labels))['loss_contrast'].item())
    assert losses[:2] == [0, 0]
    assert losses[2] > 0


@pytest.mark.parametrize(('share', 'length', 'start'), [(0.125, 80, 10), (0.55, 100, 55)])
def test_the_loss_starts_after_a_share_of_the_training(labels, share, length, start):
    hub = MessageHub.get_instance(f'contrastive-seg-share-{share}')
    hub.update_info('max_iters', length)
    module = build_branch(dict(MEMORY, start_share=share)).eval()
    started = []
    for iteration in (0, start - 1, start, length - 1):
        hub.update_info('iter', iteration)
        torch.manual_seed(0)
        started.append(module(inputs_of(labels))['loss_contrast'].item() > 0)
    assert started == [False, False, True, True]


@pytest.mark.parametrize(
    'settings',
    [
        dict(temperature=0.0),
        dict(base_temperature=0.0),
        dict(max_samples=0),
        dict(max_views=0),
        dict(min_pixels=0),
        dict(mining='random'),
        dict(hard_share=1.5),
        dict(num_negatives=0),
        dict(num_positives=0),
        dict(memory_size=-1),
        dict(memory_pixels=0),
        dict(memory_samples=0),
        dict(start_iter=-1),
        dict(start_share=1.0),
        dict(loss_weight=-0.1),
        dict(loss_name='contrast'),
    ],
)
def test_settings_out_of_range(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=rf'ContrastiveSegBranch\.{name}: expected'):
        build_branch({**SMALL, **settings})
