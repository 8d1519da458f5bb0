"""GPaCoBranch: the paper's semantics, every option, and two processes against one."""

from __future__ import annotations

import copy
import inspect
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers import head_zoo, wrapped_heads
from helpers.ranks import run_ranks
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_state_dict
from mmseg.registry import MODELS
from references import pixel_options

from paco_seg.core import parametric_contrastive_loss
from paco_seg.core.gradient_balance import MainTask
from paco_seg.engine.hooks import CheckpointMatchHook
from paco_seg.seg.heads import BranchInputs, GPaCoBranch
from paco_seg.seg.heads.pixel_sampler import PixelSampler

B, D, C, H, W = 3, 6, 4, 5, 7
DEFAULTS = dict(type='PixelGPaCoLoss', alpha=0.05, temperature=0.2, num_pixels=-1)


class OnMaps:
    """A branch whose projector is the identity, called on maps: (embeddings, logits, labels)."""

    def __init__(self, **settings):
        self.branch = GPaCoBranch(
            in_channels=D,
            num_classes=C,
            projector=dict(num_layers=1, out_channels=D),
            loss_contrast=settings,
        )
        self.branch.projector.requires_grad_(False)

    @property
    def queue(self):
        return self.branch.queue

    def __call__(self, embeddings, logits, labels, *, ignore_index=255):
        # The identity is as wide and as precise as the maps.
        layer, channels = self.branch.projector[-1], embeddings.shape[1]
        layer.weight.data = torch.eye(channels, dtype=embeddings.dtype)[:, :, None, None]
        layer.bias.data = torch.zeros(channels, dtype=embeddings.dtype)
        inputs = BranchInputs(embeddings, logits, labels, None, ignore_index)
        (loss,) = self.branch(inputs).values()
        return loss


def build(**settings):
    """The branch around the loss from the registry."""
    return OnMaps(**{**DEFAULTS, **settings})


def maps(seed=0, ignored=0.2, dtype=torch.float32):
    """Embeddings, logits (both with gradient) and labels with ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(B, D, H, W, generator=generator).to(dtype).requires_grad_()
    logits = torch.randn(B, C, H, W, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(0, C, (B, H, W), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return embeddings, logits, labels


def rows_of(embeddings, logits, labels):
    """What the core receives: unit rows, logits, labels, image by image."""
    rows = F.normalize(embeddings.flatten(2).transpose(1, 2), dim=-1)
    return rows, labels.flatten(1), logits.flatten(2).transpose(1, 2)


CORE = dict(alpha=0.05, temperature=0.2, ignore_index=255, impl='dense')


def test_all_pixels_equal_the_core_image_by_image():
    embeddings, logits, labels = maps()
    rows = rows_of(embeddings, logits, labels)
    images = [parametric_contrastive_loss(*(part[i] for part in rows), **CORE) for i in range(B)]
    torch.testing.assert_close(build()(embeddings, logits, labels), sum(images) / B)


def test_an_image_without_valid_pixels_counts_as_zero():
    embeddings, logits, labels = maps()
    whole = build(loss_weight=B)(embeddings[1:], logits[1:], labels[1:]) * (B - 1) / B
    labels[0] = 255
    torch.testing.assert_close(build(loss_weight=B)(embeddings, logits, labels), whole)


def test_all_ignored_gives_a_zero_with_gradients():
    embeddings, logits, labels = maps(ignored=2.0)
    loss = build()(embeddings, logits, labels)
    loss.backward()
    assert loss == 0
    assert embeddings.grad.abs().sum() == 0
    assert logits.grad.abs().sum() == 0


def test_batch_scope_is_one_set():
    embeddings, logits, labels = maps()
    rows = [part.flatten(0, 1) for part in rows_of(embeddings, logits, labels)]
    expected = parametric_contrastive_loss(*rows, **CORE)
    for scope in ('batch', 'world'):
        torch.testing.assert_close(build(scope=scope)(embeddings, logits, labels), expected)


def test_sampling_draws_the_same_pixels_of_everything():
    # Every pixel carries its own class in embedding, logits and label: any mix-up shows.
    labels = torch.arange(H * W).remainder(C).view(1, H, W)
    one_hot = F.one_hot(labels, C).permute(0, 3, 1, 2).float()
    loss = build(num_pixels=12, gamma=0.0, alpha=1e-6)
    assert abs(loss(one_hot, one_hot * 50, labels)) < 1e-3
    assert loss(one_hot, one_hot.roll(1, 1) * 50, labels) > 40


def test_sampling_is_reproducible_and_random():
    arguments = maps()
    loss = build(num_pixels=10)
    torch.manual_seed(1)
    first = loss(*arguments)
    second = loss(*arguments)
    torch.manual_seed(1)
    assert torch.equal(first, loss(*arguments))
    assert not torch.equal(first, second)


@pytest.mark.parametrize('selection', ['class_balanced', 'hard'])
def test_selection_prefers_what_it_says(selection):
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[0, 0, :4] = 1  # 4 rare pixels among 400, all misclassified
    logits = torch.zeros(1, 2, 20, 20)
    logits[:, 0] = 8.0
    torch.manual_seed(0)
    loss = build(num_pixels=8, pixel_selection=selection)
    picked = loss.branch.sampler(logits.flatten(2), labels.flatten(1))
    assert (labels.flatten()[picked[0]] == 1).sum() >= 2  # uniform selection: 0.08 on average
    assert len(set(picked[0].tolist())) == 8
    embeddings = torch.randn(1, D, 20, 20)
    assert torch.isfinite(loss(embeddings, logits, labels))


def test_importance_weights_bring_back_the_mean_over_pixels():
    embeddings, logits, labels = maps()
    loss = build(num_pixels=12, pixel_selection='class_balanced', importance_weights=True)
    torch.manual_seed(1)
    actual = loss(embeddings, logits, labels)
    torch.manual_seed(1)
    indices = loss.branch.sampler(logits.flatten(2), labels.flatten(1))
    drawn = labels.flatten(1).gather(1, indices)
    weights = pixel_options.importance_weights(labels.flatten(1), drawn, C)
    rows, _, centers = rows_of(embeddings, logits, labels)
    places = indices.unsqueeze(2)
    rows, centers = (
        part.gather(1, places.expand(-1, -1, part.shape[2])) for part in (rows, centers)
    )
    values = parametric_contrastive_loss(rows, drawn, centers, reduction='none', **CORE)
    valid = (drawn != 255).tolist()
    torch.testing.assert_close(
        actual.double(), pixel_options.weighted_mean(list(values.double()), valid, weights)
    )
    everything = build(pixel_selection='class_balanced', importance_weights=True)
    torch.testing.assert_close(
        everything(embeddings, logits, labels), build()(embeddings, logits, labels)
    )


@pytest.mark.parametrize(
    ('name', 'dtype'),
    [
        ('FCNHead', None),
        ('FCNHead', torch.bfloat16),
        # It reads the tapped patches as a sequence.
        ('SegmenterMaskTransformerHead', None),
    ],
)
def test_the_weight_follows_the_losses_of_the_head(name, dtype):
    """Around a real head, also under autocast: the gradients at its features, and the log."""
    config = wrapped_heads.gpaco(loss_weight='auto', gradient_ratio=0.5)
    with (
        DefaultScope.overwrite_default_scope('mmseg'),
        torch.autocast('cpu', dtype=dtype or torch.bfloat16, enabled=dtype is not None),
    ):
        head = MODELS.build(dict(copy.deepcopy(head_zoo.ZOO[name][0]), base_type=name, **config))
        inputs = []
        head.train().training_branches['gpaco'].register_forward_pre_hook(
            lambda _, args: inputs.append(args[0])
        )
        losses = head.loss(*head_zoo.loss_arguments(name, seed=0))
    features, stock = inputs[0].features, inputs[0].stock_losses
    assert set(losses) == {*stock, 'loss_gpaco', 'weight_gpaco'}
    norms = [
        torch.autograd.grad(loss, features, retain_graph=True)[0].float().norm()
        for loss in (stock['loss_ce'], losses['loss_gpaco'])
    ]
    torch.testing.assert_close(
        norms[1], 0.5 * norms[0], rtol=1e-4 if dtype is None else 0.05, atol=0
    )
    assert not losses['weight_gpaco'].requires_grad
    assert 'training_branches.gpaco.loss_contrast.gradient_balance.measured' in head.state_dict()
    sum(losses.values()).backward()  # the graph is still whole


def test_dropping_ignored_pixels_equals_not_having_them():
    embeddings, logits, labels = maps()
    rows, flat, centers = rows_of(embeddings, logits, labels)
    kept = [
        parametric_contrastive_loss(
            rows[i][flat[i] != 255], flat[i][flat[i] != 255], centers[i][flat[i] != 255], **CORE
        )
        for i in range(B)
    ]
    loss = build(contrast_ignored=False)(embeddings, logits, labels)
    torch.testing.assert_close(loss, sum(kept) / B)
    assert not torch.isclose(loss, build()(embeddings, logits, labels))


def test_warmup_follows_the_iteration_of_the_runner():
    arguments = maps()
    full = build()(*arguments)
    loss = build(warmup_iters=10)
    hub = MessageHub.get_current_instance()
    before = hub.runtime_info.get('iter')
    try:
        for iteration, share in ((0, 0.1), (4, 0.5), (9, 1.0), (500, 1.0)):
            hub.update_info('iter', iteration)
            torch.testing.assert_close(loss(*arguments), full * share)
    finally:
        hub.update_info('iter', 0 if before is None else before)


def test_queue_contrasts_pixels_of_earlier_images():
    embeddings, logits, labels = maps()
    loss = build(queue_size=64, queue_pixels_per_class=2, embed_channels=D)
    first = loss(embeddings, logits, labels)
    torch.testing.assert_close(first, build()(embeddings, logits, labels))  # still empty
    written = loss.queue.labels >= 0
    per_image = [len(image.unique()) - int((image == 255).any()) for image in labels]
    assert written.sum() <= 2 * sum(per_image)
    assert set(loss.queue.labels[written].tolist()) == set(labels[labels != 255].tolist())
    norms = loss.queue.keys[written].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))

    rows = rows_of(embeddings, logits, labels)
    expected = parametric_contrastive_loss(
        *rows, keys=loss.queue.keys.clone(), key_labels=loss.queue.labels.clone(), **CORE
    )
    torch.testing.assert_close(loss(embeddings, logits, labels), expected)
    assert 'queue.position' in loss.branch.state_dict()


def test_half_precision_features_under_autocast():
    embeddings, logits, labels = maps(dtype=torch.bfloat16)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = build()(embeddings, logits, labels)
    assert loss.dtype == torch.float32
    exact = build()(embeddings.detach().double(), logits.detach().double(), labels)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(alpha=0), r'loss_contrast.alpha: expected > 0, got 0. The paper uses'),
        (dict(alpha='big'), r"loss_contrast.alpha: expected a number > 0 or 'auto', got 'big'"),
        (dict(temperature=-1.0), r'loss_contrast.temperature: expected > 0, got -1.0'),
        (dict(num_pixels=0), r'loss_contrast.num_pixels: expected a positive integer, or -1'),
        (dict(num_pixels=2.5), r'loss_contrast.num_pixels: expected a positive integer, or -1'),
        (dict(scope='images'), r"loss_contrast.scope: expected one of 'image', 'batch', 'world'"),
        (
            dict(importance_weights=True),
            r"loss_contrast.pixel_selection: expected 'class_balanced' because importance_weights",
        ),
        (
            dict(importance_weights=1, pixel_selection='class_balanced'),
            r'loss_contrast.importance_weights: expected True or False, got 1',
        ),
        (dict(pixel_selection='all'), r"loss_contrast.pixel_selection: expected one of 'uniform'"),
        (dict(loss_name='gpaco'), r"loss_contrast.loss_name: .* starts with 'loss'"),
        (
            dict(queue_size=8, embed_channels=D + 1),
            rf'loss_contrast.embed_channels: expected {D} as projector.out_channels, got {D + 1}',
        ),
        (dict(queue_size=-1), r'loss_contrast.queue_size: expected >= 0, got -1'),
        (dict(queue_pixels_per_class=0), r'loss_contrast.queue_pixels_per_class: expected >= 1'),
        (dict(num_pixel=8), r'loss_contrast.num_pixel: expected one of alpha'),
        (dict(impl='fast'), r"loss_contrast.impl: expected one of 'auto', 'dense', 'streaming'"),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build(**settings)


def test_a_misspelt_setting_is_answered_with_all_that_exist():
    with pytest.raises(TypeError) as misspelt:
        build(num_pixel=8)
    listed = re.search(r'expected one of (.*), got', str(misspelt.value))[1].split(', ')
    assert {*inspect.signature(PixelSampler).parameters} < {*listed}
    assert {'queue_size', 'queue_pixels_per_class', 'region_keys', 'alpha'} < {*listed}
    for name in listed:
        with pytest.raises((TypeError, ValueError)) as refused:
            build(**{name: [None]})  # a value that no setting takes
        assert 'expected one of alpha' not in str(refused.value), name


def test_a_label_outside_the_classes_is_refused():
    embeddings, logits, labels = maps()
    labels[0, 0, 0] = C
    with pytest.raises(ValueError, match=rf'labels: expected values in \[0, {C}\) or 255, got'):
        build()(embeddings, logits, labels)


def test_maps_of_other_size_are_refused():
    embeddings, logits, labels = maps()
    with pytest.raises(ValueError, match=r'labels: expected shape \(3, 5, 7\), got \(3, 5, 6\)'):
        build()(embeddings, logits, labels[..., :-1])


# Without a draw: every pixel of a class enters the queue.
@pytest.mark.parametrize(
    'queue', [{}, dict(queue_size=4, embed_channels=D, queue_pixels_per_class=H * W)]
)
def test_minus_one_may_mark_ignored_pixels(queue):
    embeddings, logits, labels = maps()
    relabelled = labels.masked_fill(labels == 255, -1)
    losses = [
        [loss(embeddings, logits, target, ignore_index=index) for _ in range(2)]
        for loss, target, index in (
            (build(**queue), labels.to(torch.uint8), 255),
            (build(**queue), relabelled, -1),
        )
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize('ignored_class', range(C))
def test_the_ignored_class_may_be_any(ignored_class):
    """As with the stock heads: what carries the ignored label is no anchor, whatever its number."""
    embeddings, logits, labels = maps(ignored=0.0)
    elsewhere = labels.masked_fill(labels == ignored_class, 255)
    queue = dict(queue_size=16, embed_channels=D, queue_pixels_per_class=H * W)  # without a draw
    one, two = build(**queue), build(**queue)
    for _ in range(2):  # the second time with a filled queue
        loss = one(embeddings, logits, labels, ignore_index=ignored_class)
        torch.testing.assert_close(loss, two(embeddings, logits, elsewhere), rtol=0, atol=0)
    assert ignored_class not in one.queue.labels.tolist()


@pytest.mark.parametrize('selection', ['class_balanced', 'hard'])
def test_selections_see_the_ignored_class_as_ignored(selection):
    _, logits, labels = maps(ignored=0.0)
    sampler = build(num_pixels=5, pixel_selection=selection).branch.sampler
    drawn = []
    for target, index in ((labels, 0), (labels.masked_fill(labels == 0, 255), 255)):
        inputs = BranchInputs(logits, logits, target, target, index)
        torch.manual_seed(0)
        drawn.append(sampler(logits.flatten(2), inputs.feature_labels.flatten(1)))
        assert torch.equal(inputs.labels, inputs.feature_labels)
    assert torch.equal(*drawn)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', [0.0, 1e-7, 1e-5, 1e-3])
def test_gradients_of_tiny_features_in_half_precision_are_finite(dtype, size):
    embeddings, logits, labels = maps()
    tiny = (size * F.normalize(embeddings.detach(), dim=1)).to(dtype).requires_grad_()
    logits = logits.detach().to(dtype).requires_grad_()
    build()(tiny, logits, labels).backward()
    assert torch.isfinite(tiny.grad).all()
    assert torch.isfinite(logits.grad).all()


def test_logits_of_ignored_pixels_may_be_anything():
    embeddings, logits, labels = maps()
    broken = logits.detach().masked_fill((labels == 255).unsqueeze(1), float('nan'))
    results = []
    for values in (logits.detach(), broken):
        values.requires_grad_()
        loss = build()(embeddings, values, labels)
        results.append([loss, *torch.autograd.grad(loss, [embeddings, values])])
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_the_queue_takes_no_key_that_is_not_finite():
    embeddings, logits, labels = maps()
    loss = build(queue_size=200, embed_channels=D, queue_pixels_per_class=100)
    embeddings.data[0, :, 0, 0] = float('nan')
    labels[0, 0, 0] = 1
    loss(embeddings, logits, labels)
    assert int(loss.queue.dropped) == 1
    assert torch.isfinite(loss.queue.keys).all()
    assert (loss.queue.labels >= 0).sum() == (labels != 255).sum() - 1
    embeddings.data[0, :, 0, 0] = 1.0
    assert torch.isfinite(loss(embeddings, logits, labels))


def test_a_loss_on_validation_data_leaves_no_trace_in_the_queue():
    loss = build(queue_size=64, embed_channels=D)
    loss.branch.eval()
    loss(*maps())
    assert (loss.queue.labels == -1).all()
    loss.branch.train()
    loss(*maps())
    assert (loss.queue.labels >= 0).any()


def test_checkpoints_with_the_queue_in_the_loss_load():
    branch, resumed = (build(queue_size=64, embed_channels=D).branch for _ in range(2))
    OnMaps.__call__(SimpleNamespace(branch=branch), *maps())
    former = {
        key.replace('queue.', 'loss_contrast.queue.'): value
        for key, value in branch.state_dict().items()
    }
    assert any(key.startswith('loss_contrast.queue.') for key in former)
    resumed.load_state_dict(former)
    for name, value in branch.queue.state_dict().items():
        assert torch.equal(value, resumed.queue.state_dict()[name])
    model = torch.nn.ModuleDict(dict(gpaco=build(queue_size=64, embed_channels=D).branch))
    CheckpointMatchHook('all').after_load_checkpoint(
        SimpleNamespace(model=model, hooks=[]),
        {f'gpaco.{key}': value for key, value in former.items()},
    )
    load_state_dict(model, {f'gpaco.{key}': value for key, value in former.items()}, strict=True)
    assert torch.equal(model['gpaco'].queue.keys, branch.queue.keys)


def _step(scope, images, ignore_index, **settings):
    """Loss and weights of a linear projector after a DDP step on this rank's images."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    model = torch.nn.Conv2d(D, D + C, 1)
    distributed = dist.is_initialized()
    if distributed:
        images = images[dist.get_rank()]
        wrapped = DistributedDataParallel(model)
    else:
        wrapped = model
    features, labels = images
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        out = wrapped(features)
        labels = labels.masked_fill(labels == 255, ignore_index)
        loss = build(scope=scope, **settings)(
            out[:, :D], out[:, D:], labels, ignore_index=ignore_index
        )
        loss.backward()
        optimizer.step()
    return loss.detach(), [parameter.detach() for parameter in model.parameters()]


def _two_images_per_rank(empty_rank):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(4, D, H, W, generator=generator)
    labels = torch.randint(0, C, (4, H, W), generator=generator)
    labels[1, :2] = 255
    if empty_rank:
        labels[2:] = 255
    return features, labels


# -1 is also the label of an empty key, and keys are what the pixels of the other rank become.
OPTIONS = [
    dict(ignore_index=255),
    dict(ignore_index=-1, impl='streaming', chunk_size=8),
]
CASES = [
    (scope, empty, options)
    for scope in ('image', 'world')
    for empty in (False, True)
    for options in OPTIONS
]


def _steps_of_a_rank():
    results = []
    for scope, empty_rank, options in CASES:
        features, labels = _two_images_per_rank(empty_rank)
        parts = [(features[:2], labels[:2]), (features[2:], labels[2:])]
        results.append(_step(scope, parts, **options))
    return dict(steps=results, options=_options_step(), wrappers=wrapped_heads.train_on_rank())


def _options_step():
    """Loss, weight and gradients of a world with every option of the loss, for this rank's rows."""
    import torch.distributed as dist

    generator = torch.Generator().manual_seed(4)
    features = torch.randn(4, 9, D, generator=generator)
    logits = torch.randn(4, 9, C, generator=generator)
    labels = torch.randint(0, C, (4, 9), generator=generator)
    labels[:, ::4] = 255
    weights = torch.rand(4, 9, generator=generator) * 5 + 1
    size = 1
    parts = [features, labels, logits, weights]
    if dist.is_initialized():
        size, own = dist.get_world_size(), dist.get_rank()
        parts = [part[2 * own : 2 * own + 2] for part in parts]
    features, labels, logits, weights = parts
    features.requires_grad_()
    loss = MODELS.build(
        dict(
            type='PixelGPaCoLoss',
            scope='world',
            region_keys=True,
            loss_weight='auto',
            gradient_ratio=0.5,
        )
    )
    main = MainTask(features.square().mean(), features)
    value = loss(F.normalize(features, dim=-1), labels, logits, anchor_weights=weights, main=main)
    (gradient,) = torch.autograd.grad(value, features)
    return value.detach(), loss.gradient_balance.weight(), gradient / size


@pytest.fixture(scope='module')
def two_ranks():
    """One pair of processes for all cases: starting it costs more than they do."""
    return run_ranks(_steps_of_a_rank)


@pytest.mark.parametrize('case', wrapped_heads.CASES)
def test_a_wrapper_changes_nothing(two_ranks, case):
    """DDP with a static graph and FSDP, also if the first batch or a later has no valid pixel."""
    for results in two_ranks:
        (losses, weights), *others = results['wrappers'][case]
        assert len(others) == 2
        for other_losses, other_weights in others:
            assert losses == other_losses
            assert weights.keys() == other_weights.keys()
            assert all(torch.equal(weights[key], other_weights[key]) for key in weights)


def test_two_processes_equal_one_with_every_option(two_ranks):
    first, second = (results['options'] for results in two_ranks)
    loss, weight, gradient = _options_step()
    assert first[1] == second[1]
    torch.testing.assert_close(first[1], weight)
    torch.testing.assert_close((first[0] + second[0]) / 2, loss)
    torch.testing.assert_close(torch.cat([first[2], second[2]]), gradient)


def test_two_processes_equal_one(two_ranks):
    ranks = [results['steps'] for results in two_ranks]
    for case, first, second in zip(CASES, *ranks, strict=True):
        scope, empty_rank, _ = case
        scope = 'batch' if scope == 'world' else scope
        loss, weights = _step(scope, _two_images_per_rank(empty_rank), **OPTIONS[0])
        torch.testing.assert_close((first[0] + second[0]) / 2, loss, rtol=1e-5, atol=1e-6)
        for split in (first[1], second[1]):
            torch.testing.assert_close(split, weights, rtol=1e-5, atol=1e-6)
