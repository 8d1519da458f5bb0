"""Region Rebalance and CeCo around decode heads: what holds for both is tested on both."""

import copy
import json

import pytest
import torch
from helpers.head_zoo import (
    BN,
    CASCADE,
    NUM_CLASSES,
    ZOO,
    loss_arguments,
    make_inputs,
    make_samples,
)
from helpers.ranks import run_ranks
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from references import region as reference
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

import paco_seg.seg  # noqa: F401
from paco_seg.core.compared import log_class_prior, region_means
from paco_seg.seg.heads import BranchInputs

BRANCHES = {
    'region_rebalance': dict(type='RegionRebalanceBranch', label_smoothing=0.5),
    'ceco': dict(type='CeCoBranch', loss_weight=0.8),
}
SMALL = dict(reduced_channels=6, hidden_channels=10, norm_cfg=BN)
# Heads through cls_seg with one and several inputs, and the three with a tap of their own that
# build without compiled ops.
HEADS = ('FCNHead', 'UPerHead', 'IterativeDecodeHead', 'SegmenterMaskTransformerHead')


@pytest.fixture(params=BRANCHES)
def branch(request):
    return request.param, dict(BRANCHES[request.param], **SMALL)


@pytest.fixture
def frequency_file(tmp_path):
    path = tmp_path / 'frequency.json'
    counts = [50, 30, 20, 10, 1]
    names = [f'class {index}' for index in range(NUM_CLASSES)]
    path.write_text(json.dumps(dict(classes=names, images=counts, pixels=None, num_images=50)))
    return str(path)


def build(branches, name='FCNHead', type_='BranchDecodeHead', **kwargs):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(
            dict(
                type=type_,
                base_type=name,
                training_branches=branches,
                **copy.deepcopy(ZOO[name][0]),
                **kwargs,
            )
        )


def stock(name='FCNHead'):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(dict(type=name, **copy.deepcopy(ZOO[name][0])))


@pytest.mark.parametrize('name', HEADS)
def test_loss_reaches_the_decoder_and_leaves_the_branch_frozen(branch, name):
    key, settings = branch
    torch.manual_seed(0)
    head = build({key: settings}, name)
    losses = head.loss(*loss_arguments(name))
    (loss,) = (
        value for log_key, value in losses.items() if log_key.startswith(('loss_re', 'loss_ceco'))
    )
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    own = dict(head.training_branches.named_parameters())
    assert own
    assert all(p.grad is None and not p.requires_grad for p in own.values())
    others = [p for n, p in head.named_parameters() if n.split('.')[0] != 'training_branches']
    assert sum(float(p.grad.abs().sum()) for p in others if p.grad is not None) > 0


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_weights_of_another_precision_without_autocast(branch, dtype):
    name, settings = branch
    head = build({name: settings}).to(dtype)
    inputs = [feature.to(dtype) for feature in make_inputs('FCNHead')]
    losses = head.loss(inputs, *loss_arguments('FCNHead')[1:])
    assert all(value.isfinite().all() for value in losses.values())
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert head.conv_seg.weight.grad.isfinite().all()


def test_frozen_tensors_do_not_move_and_learnable_ones_do(branch):
    key, settings = branch
    for learnable in (False, True):
        torch.manual_seed(0)
        head = build({key: dict(settings, learnable=learnable)})
        module = head.training_branches[key]
        before = {name: value.clone() for name, value in module.state_dict().items()}
        # Weight decay must not move frozen tensors either.
        optimizer = torch.optim.SGD(head.parameters(), lr=0.1, weight_decay=0.1)
        sum(v for k, v in head.loss(*loss_arguments('FCNHead')).items() if 'loss' in k).backward()
        optimizer.step()
        for name, value in module.state_dict().items():
            moved = not torch.equal(value, before[name])
            statistic = 'running' in name or 'num_batches' in name
            fixed = name == 'simplex' or not learnable
            assert moved == (statistic or not fixed), (name, learnable)


def train(head, auxiliary, steps=3):
    optimizer = torch.optim.SGD([*head.parameters(), *auxiliary.parameters()], lr=0.1)
    torch.manual_seed(1)  # of the dropout
    for step in range(steps):
        arguments = loss_arguments('FCNHead', seed=step)
        losses = [*head.loss(*arguments).items(), *auxiliary.loss(*arguments).items()]
        optimizer.zero_grad()
        sum(value for key, value in losses if 'loss' in key).backward()
        optimizer.step()


@pytest.mark.parametrize('learnable', [False, True])
def test_weight_zero_trains_bit_for_bit_like_the_base_head(branch, learnable):
    key, settings = branch
    results = []
    for branches in ({}, {key: dict(settings, loss_weight=0.0, learnable=learnable)}):
        torch.manual_seed(0)
        auxiliary = stock()
        head = build(branches)
        train(head, auxiliary)
        results.append(
            {**head.state_dict(), **{f'aux.{k}': v for k, v in auxiliary.state_dict().items()}}
        )
    plain, with_branch = results
    assert all(torch.equal(value, with_branch[name]) for name, value in plain.items())
    assert all('training_branches' in name for name in set(with_branch) - set(plain))


def test_weight_zero_gives_every_trained_parameter_a_gradient(branch):
    key, settings = branch
    head = build({key: dict(settings, loss_weight=0.0, learnable=True)})
    sum(v for k, v in head.loss(*loss_arguments('FCNHead')).items() if 'loss' in k).backward()
    assert all(p.grad is not None for p in head.parameters() if p.requires_grad)


@pytest.mark.parametrize('name', HEADS)
def test_inference_is_that_of_the_base_head(branch, name, monkeypatch, frequency_file):
    key, settings = branch
    base = stock(name).eval()
    # with a prior, which must not be added to the prediction
    head = build({key: dict(settings, frequency_file=frequency_file)}, name).eval()
    assert len(head.training_branches[key].region_prior.unique()) > 1
    missing, unexpected = head.load_state_dict(base.state_dict(), strict=False)
    assert not unexpected
    assert all(k.startswith(f'training_branches.{key}.') for k in missing)

    def refuse(*args):
        raise AssertionError('the branch ran at inference')

    monkeypatch.setattr(head.training_branches[key], 'forward', refuse)
    inputs = make_inputs(name)
    arguments = (inputs, loss_arguments(name)[1]) if name in CASCADE else (inputs,)
    with torch.no_grad():
        assert_close(head(*arguments), base(*arguments), rtol=0, atol=0)


def graph_of(head):
    with DefaultScope.overwrite_default_scope('mmseg'):
        inputs = make_inputs('FCNHead')
        traced = torch.jit.trace(head.eval(), (inputs,), check_trace=False)
    return [node.kind() for node in traced.inlined_graph.nodes()]


def test_inference_graph_is_that_of_the_base_head(branch, frequency_file):
    key, settings = branch
    head = build({key: dict(settings, frequency_file=frequency_file)})
    operators = [kind for kind in graph_of(head) if kind.startswith('aten')]
    assert operators == [kind for kind in graph_of(stock()) if kind.startswith('aten')]


def inputs_of(labels, features=None, channels=8):
    generator = torch.Generator().manual_seed(0)
    if features is None:
        features = torch.randn(len(labels), channels, 4, 4, generator=generator)
    logits = torch.randn(len(labels), NUM_CLASSES, 4, 4, generator=generator)
    return BranchInputs(features, logits, labels, labels, 255)


def build_branch(settings, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(settings, in_channels=8, num_classes=NUM_CLASSES, **kwargs))


def test_all_ignored_gives_zero_with_gradient(branch):
    _, settings = branch
    module = build_branch(settings)
    inputs = inputs_of(torch.full((2, 4, 4), 255), torch.randn(2, 8, 4, 4, requires_grad=True))
    (loss,) = module(inputs).values()
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(inputs.features.grad, torch.zeros_like(inputs.features))


def regions_of(module, inputs):
    """The region means that the branch projects."""
    seen = []
    hook = module.gain.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    module(inputs)
    hook.remove()
    return seen[0]


def label_sized(align_corners=True, dtype=torch.float64):
    """Inputs whose labels are larger than the grid, and their double-precision features."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 8, 4, 4, generator=generator, dtype=dtype)
    labels = torch.randint(NUM_CLASSES - 1, (2, 13, 15), generator=generator)
    labels[0, 5, 5] = NUM_CLASSES - 1  # on no point of the grid
    labels[:, :2] = 255
    logits = torch.randn(2, NUM_CLASSES, 4, 4, generator=generator)
    nearest = torch.nn.functional.interpolate(labels[:, None].float(), size=(4, 4)).squeeze(1)
    return BranchInputs(features, logits, nearest.long(), labels, 255, align_corners)


@pytest.mark.parametrize('grouping', ['batch', 'image'])
@pytest.mark.parametrize(
    ('option', 'of_head', 'used'),
    [(True, False, True), (False, True, False), (None, False, False), (None, True, True)],
)
def test_regions_are_those_of_the_upsampled_map(branch, grouping, option, of_head, used):
    """As released: upsample the reduced map to the labels, average over the pixels of a class."""
    _, settings = branch
    module = build_branch(settings, grouping=grouping, dropout_ratio=0.0, align_corners=option)
    module = module.double().eval()
    inputs = label_sized(of_head)
    with torch.no_grad():
        reduced = torch.nn.functional.interpolate(
            module.reduce(inputs.features), (13, 15), mode='bilinear', align_corners=used
        )
        expected = reference.region_means(
            reduced.tolist(), inputs.labels.tolist(), 255, per_image=grouping == 'image'
        )
        means, present = module.region_means(inputs)
    assert {tuple(key) for key in present.nonzero().tolist()} == set(expected)
    assert (0, NUM_CLASSES - 1) in expected
    for key, mean in expected.items():
        assert_close(means[key].tolist(), mean, rtol=1e-10, atol=1e-12)


def test_the_released_means_are_the_default_and_the_grid_an_option(branch):
    _, settings = branch
    inputs = label_sized(dtype=torch.float32)
    module = build_branch(settings, dropout_ratio=0.0).eval()
    assert (module.resolution, module.align_corners) == ('label', True)
    coarse = build_branch(settings, dropout_ratio=0.0, resolution='grid').eval()
    expected = region_means(coarse.reduce(inputs.features), inputs.feature_labels, NUM_CLASSES)
    assert_close(coarse.region_means(inputs), expected, rtol=0, atol=0)
    assert module.region_means(inputs)[1][0, -1]
    assert not expected[1][0, -1]


def test_layers_of_a_subclass_are_frozen_without_its_help(branch):
    key, settings = branch

    class WithAnotherLayer(type(build_branch(settings))):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.another = nn.Linear(2, 2)

    with MODELS.switch_scope_and_registry('mmseg') as registry:
        registry.register_module(name='WithAnotherLayer', module=WithAnotherLayer, force=True)
    for learnable in (False, True):
        head = build({key: dict(settings, type='WithAnotherLayer', learnable=learnable)})
        trained = {p.requires_grad for p in head.training_branches.parameters()}
        assert trained == {learnable}


def test_grouping_decides_what_a_duplicated_image_does(branch):
    _, settings = branch
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(NUM_CLASSES, (2, 4, 4), generator=generator)
    features = torch.randn(2, 8, 4, 4, generator=generator)
    for grouping, regions in (('batch', 1), ('image', 3)):
        module = build_branch(settings, grouping=grouping, dropout_ratio=0.0).eval()
        more = torch.tensor([0, 1, 0])
        one = regions_of(module, inputs_of(labels, features))
        two = regions_of(module, inputs_of(labels[more], features[more]))
        assert two.shape[0] == regions
        if grouping == 'image':
            assert_close(two[:2], one)
        else:
            assert (one - two).abs().max() > 1e-3


def test_prior_enters_the_loss(branch, frequency_file):
    _, settings = branch
    settings = dict(settings, dropout_ratio=0.0)
    labels = torch.randint(NUM_CLASSES, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    inputs = inputs_of(labels)
    rebalanced = build_branch(settings, frequency_file=frequency_file)
    assert_close(rebalanced.region_prior.log(), log_class_prior(torch.tensor([50, 30, 20, 10, 1])))
    assert 'region_prior' not in rebalanced.state_dict()
    plain = build_branch(settings)
    (with_prior,), (without,) = rebalanced(inputs).values(), plain(inputs).values()
    assert abs(with_prior - without) > 1e-3
    rebalanced.region_prior.fill_(0.2)  # uniform: a constant that the softmax does not see
    assert_close(*rebalanced(inputs).values(), without)


def test_constant_features_make_every_region_the_same(branch):
    _, settings = branch
    module = build_branch(settings, dropout_ratio=0.0).eval()
    labels = torch.randint(NUM_CLASSES, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    features = torch.randn(1, 8, 1, 1).expand(2, 8, 4, 4)
    means, present = region_means(module.reduce(features), labels, NUM_CLASSES)
    assert_close(means[present], means[0, :1].expand(int(present.sum()), -1))


def test_permuting_pixels_within_a_class_changes_nothing(branch):
    _, settings = branch
    module = build_branch(settings, dropout_ratio=0.0).eval()
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 2:] = 1
    inputs = inputs_of(labels)
    moved = inputs_of(
        labels, torch.cat([inputs.features[:, :, :2].flip(3), inputs.features[:, :, 2:].flip(2)], 2)
    )
    assert_close(module(moved), module(inputs))


def test_simplex_is_seeded_and_travels_with_the_checkpoint():
    settings = dict(BRANCHES['ceco'], **SMALL)
    first, second = build_branch(settings), build_branch(settings)
    assert torch.equal(first.simplex, second.simplex)
    other = build_branch(settings, etf_seed=1)
    assert not torch.equal(first.simplex, other.simplex)
    other.load_state_dict(first.state_dict())
    assert torch.equal(first.simplex, other.simplex)


def test_combines_with_gpaco_and_with_each_other():
    branches = {name: dict(settings, **SMALL) for name, settings in BRANCHES.items()}
    head = build(
        branches,
        type_='GPaCoDecodeHead',
        projector=dict(out_channels=8),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=20),
    )
    losses = head.loss(*loss_arguments('FCNHead'))
    assert {'loss_ce', 'loss_gpaco', 'loss_region', 'loss_ceco'} <= set(losses)
    assert all(torch.isfinite(value).all() for value in losses.values())


def test_half_precision_features(branch):
    _, settings = branch
    module = build_branch(settings, dropout_ratio=0.0)
    labels = make_samples(1)[0].gt_sem_seg.data[:, :4, :4]
    inputs = inputs_of(labels)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        (cast,) = module(inputs).values()
    (plain,) = module(inputs).values()
    assert cast.dtype == torch.float32
    assert_close(cast, plain, rtol=3e-2, atol=3e-2)


class LossOfHead(nn.Module):
    """The sum of the losses as a forward pass, which is what DDP wraps."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, *arguments):
        return sum(value for key, value in self.head.loss(*arguments).items() if 'loss' in key)


def rank_arguments(rank, step):
    """Images of a rank; in the second step rank 1 has no valid pixel at all."""
    inputs, samples, config = loss_arguments('FCNHead', seed=10 * step + rank)
    if rank == 1 and step == 1:
        for sample in samples:
            sample.gt_sem_seg.data.fill_(255)
    return inputs, samples, config


def head_of_rank(learnable):
    torch.manual_seed(0)
    branches = {
        key: dict(settings, **SMALL, learnable=learnable, dropout_ratio=0.0)
        for key, settings in BRANCHES.items()
    }
    # Statistics of a batch would differ between ranks.
    return build(branches).eval()


def ddp_gradients():
    seen = {}
    for learnable in (False, True):
        model = DistributedDataParallel(LossOfHead(head_of_rank(learnable)))
        for step in range(2):
            model.zero_grad()
            model(*rank_arguments(torch.distributed.get_rank(), step)).backward()
            grads = {n: p.grad for n, p in model.module.named_parameters() if p.requires_grad}
            seen[learnable, step] = grads
    return seen


def test_two_processes_average_their_gradients_with_an_empty_rank():
    ranks = run_ranks(ddp_gradients)
    for learnable in (False, True):
        model = LossOfHead(head_of_rank(learnable))
        for step in range(2):
            model.zero_grad()
            for rank in range(2):
                (model(*rank_arguments(rank, step)) / 2).backward()
            wanted = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
            assert any('training_branches' in name for name in wanted) == learnable
            for seen in ranks:
                assert_close(seen[learnable, step], wanted)


def test_bad_settings_name_their_key(branch, frequency_file, tmp_path):
    _, settings = branch
    where = settings['type']
    bad = dict(
        grouping='pixel',
        resolution='pixel',
        loss_weight=-1.0,
        label_smoothing=2.0,
        loss_name='region',
        scale=0.0,
        reduced_channels=0,
    )
    for key, value in bad.items():
        with pytest.raises(ValueError, match=rf'{where}\.{key}: expected'):
            build_branch(dict(settings, **{key: value}))
    with pytest.raises(FileNotFoundError, match=rf'{where}\.frequency_file: .*paco-seg statistics'):
        build_branch(settings, frequency_file=str(tmp_path / 'missing.json'))
    with pytest.raises(ValueError, match=rf'{where}\.frequency_file: expected 4 classes .* got 5'):
        MODELS.build(dict(settings, in_channels=8, num_classes=4, frequency_file=frequency_file))
    broken = json.loads(open(frequency_file).read())
    broken['images'][2] = 0
    path = tmp_path / 'zero.json'
    path.write_text(json.dumps(broken))
    with pytest.raises(
        ValueError, match=r"training images of every class, got none of \['class 2'\]"
    ):
        build_branch(settings, frequency_file=str(path))


def test_permuted_classes_are_refused(branch, frequency_file):
    _, settings = branch
    names = [f'class {index}' for index in range(5)]
    module = build_branch(settings, frequency_file=frequency_file)
    module.check_class_names(names)
    message = rf"^{settings['type']}\.frequency_file .*: expected class 0 to be 'class 4'"
    with pytest.raises(ValueError, match=message):
        module.check_class_names(names[::-1])
    build_branch(settings, frequency_file=None).check_class_names(names[::-1])


def test_simplex_needs_as_many_channels_as_classes():
    with pytest.raises(ValueError, match=r'CeCoBranch\.hidden_channels: expected >= 5, got 4'):
        build_branch(dict(BRANCHES['ceco'], **dict(SMALL, hidden_channels=4)))
