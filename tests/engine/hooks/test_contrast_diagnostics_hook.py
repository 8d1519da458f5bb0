"""Numbers about the contrast: what they are, where they go, and that the training is the same."""

import json
from types import SimpleNamespace

import pytest
import torch
from helpers.contrastive import build_head, golden_inputs, samples
from helpers.head_zoo import NUM_CLASSES, ZOO, loss_arguments
from helpers.tiny_training import train
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from paco_seg.engine.hooks import ContrastDiagnosticsHook
from paco_seg.seg import swap_loss


@pytest.fixture
def frequency_file(tmp_path):
    content = dict(
        classes=['sky', 'road', 'tree', 'car'],
        images=[90, 50, 5, 1],
        pixels=[900, 500, 50, 10],
        num_images=100,
    )
    (tmp_path / 'frequency.json').write_text(json.dumps(content))
    return str(tmp_path / 'frequency.json')


def test_scalars_of_a_segmentor_in_two_stores(tiny_seg, run_tool, frequency_file, tmp_path):
    cfg = swap_loss(tiny_seg(), frequency_file=frequency_file, alpha=0.1)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    cfg.custom_hooks = [dict(type='ContrastDiagnosticsHook', interval=2)]
    cfg.default_hooks.visualization.update(draw=True, interval=1)
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    cfg.visualizer = dict(type='SegLocalVisualizer', name='two_stores', vis_backends=backends)
    cfg.dump(tmp_path / 'gpaco.py')
    run_tool('train', tmp_path / 'gpaco.py')
    (folder,) = (tmp_path / 'work').glob('*/vis_data')
    rows = map(json.loads, (folder / 'scalars.json').read_text().splitlines())
    scalars = {row.pop('step'): row for row in rows if 'contrast/loss' in row}
    assert sorted(scalars) == [2, 4]
    board = EventAccumulator(str(folder)).Reload()
    for name in scalars[2]:
        shown = {event.step: event.value for event in board.Scalars(name)}
        assert shown == pytest.approx({step: row[name] for step, row in scalars.items()})
    # The predictions of a validation, from the hook of MMSegmentation.
    pictures = {path.name for path in (folder / 'vis_image').iterdir()}
    on_board = {tag: board.Images(tag) for tag in board.Tags()['images']}
    assert pictures == {f'{tag}_{e.step}.png' for tag, events in on_board.items() for e in events}
    assert len(pictures) == 2
    for row in scalars.values():
        means = {name.removeprefix('contrast/'): value for name, value in row.items()}
        assert means['positives'] + means['negatives'] == pytest.approx(15)  # a map of 4 x 4
        assert means['alpha_positives'] == pytest.approx(0.1 * means['positives'])
        assert -1 <= means['cosine_own'] <= 1
        assert means['centers_simplex'] == pytest.approx(-1 / 3)
        assert 0 < means['gradient_share'] < 1
        assert means['positives'] > 1
        shares = [means[f'anchors/{name}'] for name in ('head', 'common', 'tail')]
        assert sum(shares) == pytest.approx(1)
        for name in ('loss', 'positives', 'cosine_own'):
            parts = [means[f'{name}/{group}'] for group in ('head', 'common', 'tail')]
            if name != 'cosine_own':  # over pixels of the map, not over anchors
                mixed = sum(a * b for a, b in zip(shares, parts, strict=True))
                assert mixed == pytest.approx(means[name])


class Step:
    """A runner at the second iteration, with a visualizer that keeps what it gets."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.iter, self.cfg = model, 1, {}
        self.logger = SimpleNamespace(info=print, warning=print)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        # gradients of four steps: the losses of each count a quarter
        self.optim_wrapper = OptimWrapper(optimizer, accumulative_counts=4)
        self.visualizer = SimpleNamespace(add_scalars=self._keep)
        self.found: dict[str, float] = {}

    def _keep(self, scalars: dict, step: int) -> None:
        assert step == self.iter + 1
        self.found |= {key.removeprefix('contrast/'): value for key, value in scalars.items()}

    def look_at(self, losses) -> dict[str, float]:
        """What the hook writes about a step whose losses a function returns."""
        hook = ContrastDiagnosticsHook(interval=2)
        hook.before_train(self)
        hook.before_train_iter(self, 1)
        total = sum(value for name, value in losses().items() if 'loss' in name)
        self.optim_wrapper.scale_loss(total).backward()
        hook.after_train_iter(self, 1)
        for module in self.model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
        return self.found


def test_a_classifier_against_the_equation():
    counts = [120, 50, 30, 10, 4]
    head = build_head(loss=dict(alpha=0.1, temperature=0.5, class_prior=counts)).double().train()
    g = golden_inputs()
    head.queue.enqueue(g.keys, g.key_labels)
    features = torch.randn(8, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 1, 4])
    keys = g.key_labels[g.key_labels >= 0].tolist()
    found = Step(head).look_at(lambda: head.loss((features,), samples(labels), num_views=2))
    rows = [*labels.tolist(), *labels.tolist()]
    positives = [rows.count(label) - 1 + keys.count(label) for label in rows]
    assert found['positives'] == pytest.approx(sum(positives) / 8)
    assert found['negatives'] == pytest.approx(7 + len(keys) - sum(positives) / 8)
    assert found['alpha_positives/few'] == pytest.approx(0.1 * positives[3])
    assert found['anchors/few'] == pytest.approx(1 / 4)
    assert 'positives/medium' in found
    centers = nn.functional.normalize(head.fc.weight.detach(), dim=1)
    cosines = nn.functional.normalize(features, dim=1) @ centers.T
    own = [cosines[i, label].item() for i, label in enumerate(rows)]
    assert found['cosine_own'] == pytest.approx(sum(own) / 8)
    pairs = (centers @ centers.T)[~torch.eye(5, dtype=torch.bool)]
    assert found['centers_mean'] == pytest.approx(pairs.mean().item())
    assert found['centers_spread'] == pytest.approx(pairs.std(correction=0).item())
    # one loss for center and samples: there is nothing to share a gradient with
    assert 'gradient_share' not in found
    assert not any(value != value for value in found.values())


@pytest.mark.parametrize('weights', [(0.0, 1.0), (1.0, 0.0), (0.7, 0.3)])
def test_share_of_the_gradient(weights):
    torch.manual_seed(0)
    settings, _ = ZOO['FCNHead']
    contrast = dict(num_pixels=50, loss_weight=weights[1])
    head = MODELS.build(
        dict(type='GPaCoDecodeHead', base_type='FCNHead', loss_contrast=contrast, **settings)
        | dict(projector=dict(norm_cfg=dict(type='BN')))
    ).train()
    head.loss_decode.loss_weight = weights[0]
    norms = []

    def losses():
        seen = []
        branch = head.training_branches['gpaco']
        handle = branch.register_forward_hook(lambda _, args, output: seen.append(args[0].features))
        found = head.loss(*loss_arguments('FCNHead'))
        handle.remove()
        for name in ('loss_ce', 'loss_gpaco'):
            (gradient,) = torch.autograd.grad(found[name], seen[0], retain_graph=True)
            norms.append(gradient.norm().item())
        return found

    model = nn.ModuleDict(dict(decode_head=head))
    torch.manual_seed(1)
    found = Step(model).look_at(losses)
    assert found['gradient_share'] == pytest.approx(norms[1] / sum(norms), rel=1e-3, abs=1e-5)
    assert found['centers_simplex'] == pytest.approx(-1 / (NUM_CLASSES - 1))
    assert not any('/' in name for name in found)  # no frequencies, no groups


def test_a_step_is_the_same_with_and_without():
    gradients = []
    for interval in (2, 5):
        head = build_head(loss=dict(class_prior=[5, 4, 3, 2, 1])).train()
        with torch.no_grad():
            for number, value in enumerate(head.parameters()):
                value.copy_(torch.linspace(-1, 1 + number, value.numel()).view_as(value).sin())
        step = Step(head)
        hook = ContrastDiagnosticsHook(interval=interval)
        hook.before_train(step)
        hook.before_train_iter(step, 1)
        features = torch.linspace(-3, 3, 88).view(8, 11).cos()
        head.loss((features,), samples([0, 1, 1, 4]), num_views=2)['loss'].backward()
        hook.after_train_iter(step, 1)
        assert bool(step.found) == (interval == 2)
        gradients.append([value.grad for value in head.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_without_such_a_loss_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'^custom_hooks: ContrastDiagnosticsHook: expected a'):
        train(tmp_path, custom_hooks=[dict(type='ContrastDiagnosticsHook')])


@pytest.mark.parametrize('name', ['interval', 'max_samples'])
def test_settings_out_of_range(name):
    with pytest.raises(ValueError, match=rf'^ContrastDiagnosticsHook\.{name}: expected'):
        ContrastDiagnosticsHook(**{name: 0})
