"""Settings, label maps and inputs of the core that nobody would write by hand."""

from __future__ import annotations

import ast
import inspect
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mmengine.registry
import mmpretrain.registry
import mmseg.registry
import torch
from core import test_paco as core
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope, Registry
from stress.children import Child
from stress.trials import Trials

import paco_seg
import paco_seg.cls
import paco_seg.engine.hooks
import paco_seg.seg
from paco_seg.core import parametric_contrastive_loss
from paco_seg.engine.stages import EXPECTED
from paco_seg.seg.heads import BranchInputs

PROMISE = (
    'A setting of any registered class is refused with its name, or works; a label map gives a '
    'finite loss and finite gradients, or is refused; the loss equals float64 loops'
)
CLASSES, CHANNELS = 4, 6
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
    'save_begin', 'save_best', 'interval', 'max_keep_ckpts', 'dataset', 'members', 'in_channels',
    'balanced_pipeline', 'reduction', 'pad_val', 'length', 'num_classes', 'base_type',
}  # fmt: skip


def run(trials: Trials) -> None:
    covered = None if trials.short else _start_coverage()
    _core(trials)
    _label_maps(trials)
    _settings(trials)
    if covered is not None:
        covered.stop()
        trials.figures['lines of ours that ran, in per cent'] = _lines_run(covered)


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


BRANCHES: dict[str, dict[str, Any]] = {
    'GPaCoBranch': dict(
        projector=dict(out_channels=5),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=20, queue_size=30, alpha=0.05),
    ),
    'RegionRebalanceBranch': dict(reduced_channels=8, hidden_channels=8),
    'CeCoBranch': dict(reduced_channels=8, hidden_channels=8),
}


def _label_maps(trials: Trials) -> None:
    """Any label map of two images through each training branch, forwards and backwards."""
    branches = {}
    for name, options in BRANCHES.items():
        torch.manual_seed(0)
        config = dict(type=name, in_channels=CHANNELS, num_classes=CLASSES, **options)
        with DefaultScope.overwrite_default_scope('mmseg'):
            branches[name] = mmseg.registry.MODELS.build(config).train()
    tried = 0
    label = st.one_of(st.integers(0, CLASSES), st.sampled_from([255, 254, -1, -2, 2**31, 19]))
    usual = st.integers(0, CLASSES - 1) | st.just(255)

    @_hypothesis(trials, trials.size(60, 2000))
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
        assert valid, 'a label out of range trains'
        total = sum(loss.sum() for key, loss in losses.items() if 'loss' in key)
        total.backward()
        for tensor in (total, features.grad, logits.grad):
            assert tensor is None or tensor.isfinite().all()

    with trials.trial('label maps', 'see the example'):
        check()
    trials.counts['label maps'] = tried


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
    }


# Built around a data set, an optimizer or models; their own tests have each setting.
WRAPPERS = {
    'CPUDistributedDataParallel', 'OneBasedCosineLR', 'DigitScenesDataset', 'RareClassDataset',
    'ImageListDataset', 'ImageNetC', 'ImageNetR', 'LongTailDataset', 'DualSamplingDataset',
    'ClassAwareSampler', 'EnsembleClassifier', 'GPaCoClassifier', 'PaCoClassifier',
    'CheckedLocalVisBackend', 'CamVidDataset', 'HybridClassifier', 'FrozenFeatureClassifier',
    'LIFTClassifier', 'MultiViewClsDataPreprocessor',
    'ADE20KFullDataset', 'TailMemoryDataset',
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
    return {
        name: str(found[name].annotation) if found[name] is not None else fields[name].type
        for name in found
        if name != 'self' and name not in FOREIGN
    }


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
    lost = trials.folder / 'settings.txt'
    child = Child(_try, chosen, bases, lost, log=lost.with_suffix('.log'), memory_mib=3000)
    code = child.wait(1000)
    if not trials.check(kind, code == 0, f'exit {code}: {child.said()[-2000:]}'):
        return
    trials.counts[kind] = len(chosen)
    for line in lost.read_text().splitlines():
        trials.lose(kind, line)


def _try(cases: list[tuple[Any, ...]], bases: dict[str, Any], lost: Path) -> None:
    lines = []
    for registry, scope, name, argument, annotation, value in cases:
        config = dict(bases.get(name, {}), type=name) | {argument: value}
        built, error = _build(registry, scope, config)
        if fits(value, annotation):
            # A part may be what MM makes of it; the command names the part then.
            fine = built or isinstance(error, EXPECTED)
        else:
            fine = isinstance(error, (TypeError, ValueError)) and argument in str(error)
        outcome = 'it is built' if built else repr(error)
        if not fine:
            lines.append(f'{name}.{argument}={value!r:.60} ({annotation}): {outcome:.300}')
    lost.write_text('\n'.join(lines))


def _build(registry: Registry, scope: str, config: dict) -> tuple[bool, Exception | None]:
    try:
        with DefaultScope.overwrite_default_scope(scope):
            registry.build(config)
    except Exception as error:  # which ones are fine is the question
        return False, error
    return True, None


def _start_coverage() -> Any:
    import coverage

    found = coverage.Coverage(data_file=None, source=['paco_seg'], config_file=False)
    found.start()
    return found


def _lines_run(covered: Any) -> float:
    """Share of the lines inside functions of core, heads and losses; imports ran before."""
    ran = wanted = 0
    root = Path(paco_seg.__file__).parent
    for part in ('core', 'seg/heads', 'seg/losses', 'cls/heads', 'cls/losses'):
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
            ran += len(lines - set(missing))
    return round(100 * ran / wanted, 1)
