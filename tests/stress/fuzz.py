"""Settings, label maps and inputs of the core that nobody would write by hand."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import mmengine.registry
import mmpretrain.registry
import mmseg.registry
import torch
from conftest import CLASSES as CLASS_NAMES
from conftest import write_cls_dataset, write_seg_dataset
from core import test_paco as core
from helpers import contrastive
from helpers.classifier_zoo import BACKBONE, SYSTEMS
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope, Registry
from stress.children import Child
from stress.trials import Trials

import paco_seg
import paco_seg.cls
import paco_seg.engine.hooks
import paco_seg.seg
from paco_seg.cls.heads.projector import linear_projector
from paco_seg.core import parametric_contrastive_loss
from paco_seg.engine.stages import EXPECTED
from paco_seg.seg.heads import BranchInputs
from paco_seg.seg.heads.pixel_sampler import PixelSampler
from paco_seg.seg.heads.projector import conv_projector
from paco_seg.seg.losses import PixelGPaCoLoss

PROMISE = (
    'A setting of any registered class is refused with its name, or works; a label map gives a '
    'finite loss and finite gradients, or is refused, and any batch of labels gives them; the loss '
    'equals float64 loops'
)
CLASSES, CHANNELS = 4, 6
SETTINGS = 'settings.txt'
PATIENCE = 1000.0
# Where the lines are counted.
PARTS = (
    'core', 'core/compared', 'seg/heads', 'seg/losses', 'seg/compared', 'cls/heads', 'cls/losses',
    'cls/compared', 'cls/classifiers',
)  # fmt: skip
# What somebody may write in the place of a number, a name, a list or a dict.
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 10**14, 10**30, -(10**30), 0.0, -0.0, 0.5, 1.0, -0.5, 1.5,
    1e-300, 1e300, float('inf'), float('-inf'), float('nan'), '', 'auto', 'none', 'True', '1',
    'mean', '../x', '\x00', 'a' * 1000, [], [0], [1, 2], [1.5, 0.5], ['a'], [None], [[1]], (), (1,),
    {}, {'a': 1}, {'type': 'ReLU'}, 1j, b'x', set(), object(),
]  # fmt: skip
# Arguments that go to MMEngine, MMSegmentation or MMPretrain as they are.
FOREIGN = {
    'init_cfg', 'norm_cfg', 'act_cfg', 'conv_cfg', 'data_preprocessor', 'backbone', 'args',
    'kwargs', 'settings', 'module', 'device_ids', 'optimizer', 'pretrained', 'train_cfg', 'prefix',
    'collect_device', 'pipeline', 'topk', 'cal_acc', 'img_suffix', 'seg_map_suffix', 'data_root',
    'data_prefix', 'ann_file', 'with_label', 'extensions', 'metainfo', 'lazy_init', 'by_epoch',
    'save_optimizer', 'save_param_scheduler', 'out_dir', 'save_last', 'rule', 'greater_keys',
    'less_keys', 'file_client_args', 'filename_tmpl', 'backend_args', 'published_keys',
    'save_begin', 'save_best', 'max_keep_ckpts', 'dataset', 'balanced_pipeline', 'reduction',
    'pad_val', 'length', 'in_channels', 'num_classes',
}  # fmt: skip
# Arguments whose values are the arguments of others.
PIXELS: list[Callable[..., Any]] = [PixelSampler.__init__, PixelGPaCoLoss.__init__]
NESTED: dict[str, dict[str, list[Callable[..., Any]]]] = {
    'GPaCoBranch': dict(projector=[conv_projector], loss_contrast=PIXELS),
    'GPaCoDecodeHead': dict(projector=[conv_projector], loss_contrast=PIXELS),
    'GPaCoClsHead': dict(projector=[linear_projector]),
    'PaCoClsHead': dict(projector=[linear_projector]),
    'MultiTaskSupConClsHead': dict(projector=[linear_projector]),
    'HybridClsHead': dict(projector=[linear_projector]),
    'BCLClsHead': dict(projector=[linear_projector]),
    'ProCoClsHead': dict(projector=[linear_projector]),
    'SupConPretrainHead': dict(projector=[linear_projector]),
}
QUEUE = {'loss_contrast.queue_size': 'int', 'loss_contrast.queue_pixels_per_class': 'int'}


def run(trials: Trials) -> None:
    covered = None if trials.short else _start_coverage()
    _core(trials)
    _label_maps(trials)
    _batches(trials)
    _settings(trials)
    if covered is not None:
        covered.stop()
        elsewhere = json.loads(_ran_in_child(trials.folder / SETTINGS).read_text())
        trials.figures['lines of ours that ran, in per cent'] = _lines_run(covered, elsewhere)


def _hypothesis(trials: Trials, examples: int) -> Callable[[Any], Any]:
    """Random examples by our seed; a failure is minimised."""
    chosen = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=True,
    )
    return lambda function: seed(trials.rng.randrange(2**31))(chosen(function))


def _core(trials: Trials) -> None:
    """Values and gradients of every implementation against loops in float64."""
    tried = 0

    @_hypothesis(trials, trials.size(60, 2000))
    @given(setting=core.SETTINGS, name=st.sampled_from(list(core.IMPLEMENTATIONS)))
    def check(setting: core.Setting, name: str) -> None:
        nonlocal tried
        tried += 1
        options = core.IMPLEMENTATIONS[name]
        found = core.evaluate(
            parametric_contrastive_loss, setting, setting.dtype, setting.flat, **options
        )
        tolerance = core.TOLERANCE[setting.dtype] / setting.temperature
        for actual, wanted in zip(found, core.expected(setting), strict=True):
            core.assert_close(actual, wanted, tolerance)

    with trials.trial('settings of the core against float64', 'see the example'):
        check()
    trials.counts['settings of the core against float64'] = tried


# Everything of ours that turns a label map into a loss: branches of heads, and losses of logits.
BRANCHES: dict[str, dict[str, Any]] = {
    'GPaCoBranch': dict(
        projector=dict(out_channels=5),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=20, queue_size=30, alpha=0.05),
    ),
    'PixelClassifierBranch': dict(),
    'ContrastiveSegBranch': dict(out_channels=5, max_samples=20, memory_size=6, memory_pixels=2),
    'RegionRebalanceBranch': dict(reduced_channels=8, hidden_channels=8),
    'CeCoBranch': dict(reduced_channels=8, hidden_channels=8),
}
LOSSES: dict[str, dict[str, Any]] = {
    'PixelSeesawLoss': {},
    'SoftmaxFocalLoss': {},
    'SquareAUCLoss': {},
    'LogitAdjustedCrossEntropyLoss': {},
}


def of_label_maps(folder: Path) -> dict[str, Callable[[BranchInputs], Any]]:
    """Name -> what makes losses of features, logits and a label map."""
    found: dict[str, Callable[[BranchInputs], Any]] = {}
    bases = _bases(folder)
    with DefaultScope.overwrite_default_scope('mmseg'):
        for name, options in BRANCHES.items():
            torch.manual_seed(0)
            config = dict(type=name, in_channels=CHANNELS, num_classes=CLASSES, **options)
            found[name] = mmseg.registry.MODELS.build(config).train()
        for name, options in LOSSES.items():
            config = dict(bases.get(name, {}), type=name, **options)
            loss = mmseg.registry.MODELS.build(config).train()
            found[name] = lambda inputs, loss=loss: {
                'loss': loss(inputs.logits, inputs.feature_labels, ignore_index=inputs.ignore_index)
            }
    return found


def _label_maps(trials: Trials) -> None:
    """Any label map of two images through each branch and loss, forwards and backwards."""
    branches = of_label_maps(trials.folder / 'maps')
    tried = 0
    label = st.one_of(st.integers(0, CLASSES), st.sampled_from([255, 254, -1, -2, 2**31, 19]))
    usual = st.integers(0, CLASSES - 1) | st.just(255)

    @_hypothesis(trials, trials.size(60, 3000))
    @given(
        data=st.data(),
        name=st.sampled_from(list(branches)),
        size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    )
    def check(data: st.DataObject, name: str, size: tuple[int, int]) -> None:
        nonlocal tried
        tried += 1
        height, width = size
        of = data.draw(st.sampled_from([usual, label, st.just(255), st.just(0)]))
        number = 2 * height * width
        values = data.draw(st.lists(of, min_size=number, max_size=number))
        labels = torch.tensor(values).view(2, height, width)
        rng = torch.Generator().manual_seed(tried)
        features = torch.randn(2, CHANNELS, height, width, generator=rng).requires_grad_()
        logits = torch.randn(2, CLASSES, height, width, generator=rng).requires_grad_()
        valid = {*range(CLASSES), 255} >= set(values)
        try:
            losses = branches[name](BranchInputs(features, logits, labels, None, 255))
        except ValueError as error:
            if valid or 'label' not in str(error):
                raise
            return
        except (IndexError, RuntimeError):
            # PyTorch's own cross-entropy, of which ours is made, refuses in its words.
            if valid or name in BRANCHES:
                raise
            return
        assert valid, 'a label out of range trains'
        total = sum(loss.sum() for key, loss in losses.items() if 'loss' in key)
        total.backward()
        assert total.isfinite()
        for tensor in (features.grad, logits.grad):
            assert tensor is None or tensor.isfinite().all()

    with trials.trial('label maps', 'see the example'):
        check()
    trials.counts['label maps'] = tried


def classification_loss(
    model: torch.nn.Module, views: int, labels: list[int], seed: int
) -> torch.Tensor:
    """The loss of a system of ``classifier_zoo`` on random images."""
    for module in model.modules():
        if hasattr(module, 'set_progress'):
            module.set_progress(1, 10)
    rng = torch.Generator().manual_seed(seed)
    size = getattr(model.backbone, 'img_size', (8, 8))[0]
    images = [torch.randn(len(labels), 3, size, size, generator=rng) for _ in range(views)]
    data = contrastive.samples(labels)
    for sample in data:
        sample.set_field(torch.tensor([3]), 'balanced_label')
    losses = model.loss(images if views > 1 else images[0], data)
    return sum(loss.sum() for key, loss in losses.items() if 'loss' in key)


def _batches(trials: Trials) -> None:
    """Any labels of a batch of images through each system of classification."""
    models = {}
    for name, (config, views) in SYSTEMS.items():
        torch.manual_seed(0)
        models[name] = mmpretrain.registry.MODELS.build(copy.deepcopy(config)).train(), views
    tried = 0

    @_hypothesis(trials, trials.size(20, 600))
    @given(
        name=st.sampled_from(list(models)),
        labels=st.lists(st.integers(0, contrastive.NUM_CLASSES - 1), min_size=2, max_size=6),
    )
    def check(name: str, labels: list[int]) -> None:
        nonlocal tried
        tried += 1
        model, views = models[name]
        model.zero_grad()
        loss = classification_loss(model, views, labels, tried)
        loss.backward()
        assert loss.isfinite()
        for key, weight in model.named_parameters():
            assert weight.grad is None or weight.grad.isfinite().all(), key

    with trials.trial('batches of classification', 'see the example'):
        check()
    trials.counts['batches of classification'] = tried


def registered() -> Iterator[tuple[str, Registry, type]]:
    """Every class of ours under the name that configs use."""
    seen = set()
    for module in (mmengine.registry, mmseg.registry, mmpretrain.registry):
        for registry in vars(module).values():
            if not isinstance(registry, Registry):
                continue
            for name, cls in registry.module_dict.items():
                own = getattr(cls, '__module__', '').split('.')[0] == 'paco_seg'
                if own and cls not in seen:
                    seen.add(cls)
                    yield name, registry, cls


def _bases(folder: Path) -> dict[str, dict[str, Any]]:
    """The least that a class needs to be built."""
    folder.mkdir(exist_ok=True)
    frequency = folder / 'frequency.json'
    counts = dict(classes=None, images=[9, 5, 3, 1], pixels=[900, 500, 30, 10], num_images=12)
    frequency.write_text(json.dumps(counts))
    file = dict(frequency_file=str(frequency))
    head = dict(num_classes=CLASSES, in_channels=8)
    branch = dict(num_classes=CLASSES, in_channels=8)
    decode = dict(in_channels=8, channels=8, num_convs=1, concat_input=False, base_type='FCNHead')
    decode |= dict(num_classes=CLASSES, norm_cfg=None)
    region = branch | dict(reduced_channels=8, hidden_channels=8)
    return {
        'CheckpointMatchHook': dict(require='any'),
        'LongTailIoUMetric': file,
        'BranchDecodeHead': decode,
        'GPaCoDecodeHead': decode,
        'GPaCoBranch': branch,
        'ContrastiveSegBranch': branch,
        'PixelClassifierBranch': branch,
        'CeCoBranch': region,
        'RegionRebalanceBranch': region,
        'RegionBiasDecodeHead': decode,
        'LogitAdjustedDecodeHead': decode | file,
        'LogitAdjustedCrossEntropyLoss': file,
        'GPaCoClsHead': head,
        'PaCoClsHead': head,
        'LDAMClsHead': head,
        'LWSClsHead': head,
        'LogitAdjustedClsHead': head,
        'TauNormClsHead': head,
        'MultiTaskSupConClsHead': head,
        'SupConPretrainHead': dict(in_channels=8),
        'PrototypeContrastLoss': dict(num_classes=CLASSES, channels=8),
        'ResLTLoss': dict(groups=[3, 1]),
        'ResLTClsHead': head | dict(loss=dict(type='ResLTLoss', groups=[3, 1])),
        'HybridClsHead': head | dict(loss_contrast=dict(type='SupConLoss')),
        'BCLClsHead': head,
        'ProCoClsHead': head,
        'LIFTClsHead': head,
        'ProCoLoss': dict(num_classes=CLASSES, channels=8),
        'ClassConfusion': dict(num_classes=CLASSES),
        'CIFARResNet': dict(depth=8, base_channels=4),
        'ExtendedResNet': dict(depth=50),
        'SubsetAccuracy': dict(class_indices=[0, 1]),
        'LongTailAccuracy': dict(train_counts=[9, 5, 3, 1]),
        'ClippedCutout': dict(length=2),
        **_around_others(folder, file),
    }


def _around_others(folder: Path, file: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The least that a wrapper of a data set or of a model needs."""
    seg, cls = folder / 'seg', folder / 'cls'
    if not seg.exists():
        write_seg_dataset(seg)
        write_cls_dataset(cls)
        lines = [f'train/{name}/0.png {label}' for label, name in enumerate(sorted(CLASS_NAMES))]
        (cls / 'list.txt').write_text('\n'.join(lines))
        (seg / 'classes.json').write_text(json.dumps(list(CLASS_NAMES)))
    maps = dict(
        type='BaseSegDataset',
        data_root=str(seg),
        img_suffix='.png',
        seg_map_suffix='.png',
        metainfo=dict(classes=CLASS_NAMES),
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    images = dict(type='CustomDataset', data_root=str(cls), data_prefix='train')
    models = {config['type']: config for config, _ in SYSTEMS.values()}
    return {
        'RareClassDataset': dict(dataset=maps),
        'TailMemoryDataset': dict(dataset=maps, **file),
        'ImageListDataset': dict(data_root=str(cls), ann_file='list.txt', num_classes=CLASSES),
        'LongTailDataset': dict(dataset=images, imbalance_factor=0.5),
        'ClassAwareSampler': dict(dataset=mmpretrain.registry.DATASETS.build(dict(images))),
        'MultiViewClsDataPreprocessor': dict(),
        'FrozenFeatureClassifier': dict(
            BACKBONE, head=dict(type='LWSClsHead', num_classes=CLASSES, in_channels=16)
        ),
        **{
            name: models[name]
            for name in ('GPaCoClassifier', 'PaCoClassifier', 'HybridClassifier', 'LIFTClassifier')
        },
    }


# Without an argument of their own, or built around a data set that is too large to be written here;
# their own tests have each setting.
WRAPPERS = {
    'CPUDistributedDataParallel', 'OneBasedCosineLR', 'DigitScenesDataset', 'ImageNetC',
    'ImageNetR', 'DualSamplingDataset', 'EnsembleClassifier', 'CheckedLocalVisBackend',
    'CamVidDataset', 'ADE20KFullDataset',
}  # fmt: skip


def _arguments(cls: type) -> dict[str, str]:
    """Own arguments of a class, and of bases of ours, with their annotations."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.split('.')[0] == 'paco_seg' and '__init__' in vars(base):
            found |= inspect.signature(base.__init__).parameters
    fields = getattr(paco_seg.core.paco.PaCoSettings, '__dataclass_fields__', {})
    if 'settings' in found:
        found |= dict.fromkeys(name for name in fields if name != 'key')
    own = {
        name: str(found[name].annotation) if found[name] is not None else fields[name].type
        for name in found
        if name != 'self' and name not in FOREIGN
    }
    for outer, functions in NESTED.get(cls.__name__, {}).items():
        own |= {
            f'{outer}.{name}': str(parameter.annotation)
            for function in functions
            for name, parameter in inspect.signature(function).parameters.items()
            if name not in {'self', 'in_channels', *FOREIGN}
        }
        if functions is PIXELS:
            own |= {f'{outer}.{name}': fields[name].type for name in fields if name != 'key'}
            own |= QUEUE
    return own


def fits(value: Any, annotation: str) -> bool:
    """Whether a value is of the kind that an annotation names; anything fits one we do not know."""
    kinds = {kind.strip() for kind in annotation.split('|')}
    if not kinds <= {'float', 'int', 'bool', 'str', 'None'}:
        return True
    if value is None or isinstance(value, (bool, str)):
        return ('None' if value is None else type(value).__name__) in kinds
    if isinstance(value, int):
        return bool(kinds & {'int', 'float'})
    return isinstance(value, float) and 'float' in kinds and math.isfinite(value)


def _settings(trials: Trials) -> None:
    bases = _bases(trials.folder / 'fuzz')
    kind = 'settings of registered classes'
    cases = []
    for name, registry, cls in registered():
        if name in WRAPPERS:
            continue
        scope = 'mmseg' if cls.__module__.startswith('paco_seg.seg') else 'mmpretrain'
        built, error = _build(registry, scope, dict(bases.get(name, {}), type=name))
        trials.check('classes built', built, f'{name}: {error!r}: it needs an entry of its own')
        for argument, annotation in _arguments(cls).items():
            cases += [(registry, scope, name, argument, annotation, value) for value in ODD]
    chosen = trials.rng.sample(cases, trials.size(400, len(cases)))
    # In a child with little memory: some of the numbers ask for more than there is.
    lost = trials.folder / SETTINGS
    child = Child(_try, chosen, bases, lost, log=lost.with_suffix('.log'), memory_mib=3000)
    code = child.wait(PATIENCE)
    if not trials.check(kind, code == 0, f'exit {code}: {child.said()[-2000:]}'):
        return
    trials.counts[kind] = len(chosen)
    for line in lost.read_text().splitlines():
        trials.lose(kind, line)


def _try(cases: list[tuple[Any, ...]], bases: dict[str, Any], lost: Path) -> None:
    lines = []
    for registry, scope, name, argument, annotation, value in cases:
        config = _with(dict(bases.get(name, {}), type=name), argument.split('.'), value)
        built, error = _build(registry, scope, config)
        if fits(value, annotation):
            # A part may be what MM makes of it; the command names the part then.
            fine = built or isinstance(error, EXPECTED)
        else:
            named = argument.rpartition('.')[2] in str(error)
            fine = isinstance(error, (TypeError, ValueError)) and named
        outcome = 'it is built' if built else repr(error)
        if not fine:
            lines.append(f'{name}.{argument}={value!r:.60} ({annotation}): {outcome:.300}')
    lost.write_text('\n'.join(lines))
    if (covered := coverage.Coverage.current()) is not None:
        covered.stop()
        seen = covered.get_data()
        ran = {file: seen.lines(file) for file in seen.measured_files()}
        _ran_in_child(lost).write_text(json.dumps(ran))


def _with(config: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A config with a value in the place of a dotted key."""
    first, *rest = path
    if not rest:
        return config | {first: value}
    return config | {first: _with(dict(config.get(first) or {}), rest, value)}


def _build(registry: Registry, scope: str, config: dict) -> tuple[bool, Exception | None]:
    try:
        with DefaultScope.overwrite_default_scope(scope):
            registry.build(config)
    except Exception as error:  # which ones are fine is the question
        return False, error
    return True, None


def _ran_in_child(lost: Path) -> Path:
    return lost.with_suffix('.json')


def _start_coverage() -> coverage.Coverage:
    found = coverage.Coverage(data_file=None, source=['paco_seg'], config_file=False)
    found.start()
    return found


def _lines_run(covered: coverage.Coverage, elsewhere: dict[str, list[int]]) -> float:
    """Share of the lines inside functions of core, heads and losses; imports ran before.

    Args:
        covered: of this process.
        elsewhere: file -> lines that ran in the child.
    """
    ran = wanted = 0
    root = Path(paco_seg.__file__).parent
    for part in PARTS:
        for path in root.joinpath(part).glob('*.py'):
            if path.stem.startswith('fused'):  # needs a GPU, or its interpreter
                continue
            _, statements, _, missing, _ = covered.analysis2(str(path))
            inside = set()
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    inside |= set(range(node.body[0].lineno, node.end_lineno + 1))
            lines = inside & set(statements)
            wanted += len(lines)
            ran += len(lines - (set(missing) - set(elsewhere.get(str(path), ()))))
    return round(100 * ran / wanted, 1)
