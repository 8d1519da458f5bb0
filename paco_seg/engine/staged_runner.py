"""MMEngine's two runners, which know what they are doing when something goes wrong."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import EMAHook
from mmengine.runner import FlexibleRunner, Runner
from torch import nn

from paco_seg.engine.hooks.durable_checkpoint_hook import DurableCheckpointHook
from paco_seg.engine.resume import LAST
from paco_seg.engine.stages import failing_part, reason, stage
from paco_seg.engine.strategies import fit_strategy
from paco_seg.files import written_aside

# What NumPy says when MMEngine packs the items of a dataset that has none.
EMPTY = 'need at least one array to concatenate'
SHOWN = 3  # images in a message
# Default hooks of MMEngine's runner.
OWN_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
LOG_FOLDER = re.compile(r'\d{8}_\d{6}')  # of one run, named by its start


class _SwapsNoted:
    """Whether the average of an ``EMAHook`` is in the place of the weights, as in a validation."""

    def __init__(self, hook: Any) -> None:
        self._swap, self._is_swapped = hook._swap_ema_parameters, False
        hook._swap_ema_parameters = self

    def __call__(self) -> None:
        self._swap()
        self._is_swapped = not self._is_swapped

    def undo(self) -> None:
        """Put the weights back."""
        if self._is_swapped:
            self()


# Beside it stands Runner or FlexibleRunner, whose methods have the same names.
_Base: Any = object


class _Stages(_Base):
    """A named stage around each part that both runners build, and around each step."""

    # Where the loops are; read only when something goes wrong.
    _place = 'while preparing the run'
    _in_step = False
    _is_validating = False
    _dumped: Path | None = None
    # A test has another config than the training whose folder it is started in.
    _keeps_config = False

    @master_only
    def dump_config(self, settings: Mapping[str, Any] | None = None) -> None:
        """As in the base class, but no file is lost: of a test the config goes beside its log.

        So does that of a run whose config was read from the very file, or in whose folder no
        training has been that may have left the file.

        Args:
            settings: to write instead of those that the run has.
        """
        name = Path(self.cfg.filename or f'{self.timestamp}.py')
        target = self._dumped or Path(self.work_dir) / name.name
        is_input = target.exists() and name.exists() and target.samefile(name)
        is_foreign = self._dumped is None and target.exists() and not self._has_trained_here()
        if self._keeps_config or is_input or is_foreign:
            target = Path(self.log_dir) / name.name
        cfg = self.cfg if settings is None else copy.deepcopy(self.cfg)
        for key, value in (settings or {}).items():
            cfg[key] = value
        with written_aside(target) as unfinished:
            cfg.dump(unfinished)
        self._dumped = target

    def _has_trained_here(self) -> bool:
        """Whether a training has used the folder before this run."""
        folder = Path(self.work_dir)
        logs = (path.name for path in folder.iterdir() if path.is_dir())
        return (folder / LAST).exists() or any(
            LOG_FOLDER.fullmatch(name) and name != self.timestamp for name in logs
        )

    def build_log_processor(self, log_processor: Any) -> Any:
        """As in the base class; a line of results names its tables of classes, without values."""
        processor = super().build_log_processor(log_processor)
        processor.get_log_after_epoch = partial(
            _log_without_tables, processor.get_log_after_epoch, processor
        )
        return processor

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """As in the base class, in a stage."""
        with stage('while building visualizer'):
            return super().build_visualizer(visualizer)

    def build_evaluator(self, evaluator: Any) -> Any:
        """As in the base class, in a stage."""
        name = 'val_evaluator' if evaluator is self._val_evaluator else 'test_evaluator'
        with stage(lambda error: f'while building {failing_part(error, evaluator, name)}'):
            return super().build_evaluator(evaluator)

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        """As in the base class, in a stage."""
        # MMEngine takes None, which switches a hook off, for names of its own alone.
        default_hooks = {
            name: hook
            for name, hook in (default_hooks or {}).items()
            if hook is not None or name in OWN_HOOKS
        }
        hooks = {'default_hooks': default_hooks, 'custom_hooks': custom_hooks or []}

        def key(error: Exception) -> str:
            return failing_part(error, hooks, 'hooks').removeprefix('hooks.')

        with stage(lambda error: f'while building {key(error)}'):
            super().register_hooks(default_hooks, custom_hooks)

    # A static method of the base class, which is always called through the Runner.
    def build_dataloader(
        self, dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False
    ) -> Any:
        """As in the base class, in a stage; says how many items there are, and names bad ones."""
        name = next(
            (
                f'{split}_dataloader'
                for split in ('train', 'val', 'test')
                if getattr(self, f'_{split}_dataloader') is dataloader
            ),
            'dataloader',
        )

        def key(error: Exception) -> str:
            # An error raised from another has the frames of one of the two, inner or outer.
            errors = [one for one in (error, error.__cause__) if one is not None]
            return max((failing_part(one, dataloader, name) for one in errors), key=len)

        with stage(lambda error: f'while building {key(error)}'):
            try:
                loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
            except ValueError as error:
                if EMPTY not in str(error):
                    raise
                raise ValueError(
                    'expected items, got none. Check data_root, data_prefix, ann_file and the '
                    'suffixes of the files'
                ) from error
        number = len(loader.dataset) if hasattr(loader.dataset, '__len__') else '?'
        self.logger.info(f'{name}: {number} items')
        for dataset in inner_datasets(loader.dataset):
            name_items(dataset, f'{name}.dataset')
        loader.collate_fn = partial(_collate_named, loader.collate_fn, name)
        return loader

    def load_or_resume(self) -> None:
        """As in the base class, in a stage."""
        with stage(f'while loading {self._load_from}'):
            super().load_or_resume()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As in the base class; remembers where the loops are."""
        when, _, rest = fn_name.partition('_')
        mode, _, unit = rest.partition('_')
        if unit == 'iter':
            batch = kwargs.get('batch_idx', 0) + 1
            words = f'iteration {self.iter + 1}' if mode == 'train' else f'{mode} batch {batch}'
            self._in_step = when == 'before'
            self._place = f'in {words}' if when == 'before' else f'after {words}'
        elif unit == 'epoch':
            self._place = f'{when} a {mode} epoch (loading its data, or computing its metrics)'
        if fn_name == 'before_val_epoch':
            self._is_validating = True
        super().call_hook(fn_name, **kwargs)
        if fn_name == 'after_val_epoch':
            self._is_validating = False

    def train(self) -> nn.Module:
        """As in the base class, in a stage for each step; a failing validation loses none."""
        averages = [_SwapsNoted(hook) for hook in self.hooks if isinstance(hook, EMAHook)]
        with self._loops():
            try:
                return super().train()
            except Exception:
                if self._is_validating and isinstance(self, Runner):  # others have sharded weights
                    self._keep_steps(averages)
                raise

    def _keep_steps(self, averages: Sequence[_SwapsNoted]) -> None:
        """Write a checkpoint of a training whose validation fails, as best as can be."""
        hooks = [hook for hook in self.hooks if isinstance(hook, DurableCheckpointHook)]
        if not hooks:
            return
        # One whose checkpoint can be resumed, if there is one.
        hook = max(hooks, key=lambda hook: bool(hook.save_optimizer))
        try:
            for average in averages:
                average.undo()
            written = hook.keep(self)
        except Exception as error:
            self.logger.warning(f'The steps so far cannot be kept: {reason(error)}')
            return
        if written is not None:
            self.logger.warning(
                f'The validation fails, as is said below. {written} has all steps so far'
                + ': correct it and continue with --resume' * bool(hook.save_optimizer)
            )

    def test(self) -> dict:
        """As in the base class, in a stage for each step."""
        with self._loops():
            return super().test()

    def _loops(self) -> Any:
        return stage(lambda _: self._place, expected=lambda: not self._in_step)


class StagedRunner(_Stages, Runner):
    """Runner with a named stage around each part it builds, each file it loads and each step.

    Args:
        *args: of :class:`mmengine.runner.Runner`.
        **kwargs: the same.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """As in the base class, in a stage."""
        with stage('while setting up env_cfg'):
            super().setup_env(env_cfg)

    def set_randomness(self, *args: Any, **kwargs: Any) -> None:
        """As in the base class, in a stage."""
        with stage('while setting randomness'):
            super().set_randomness(*args, **kwargs)

    def build_model(self, model: Any) -> nn.Module:
        """As in the base class, in a stage; says so before a large model is built."""
        self.logger.info('Building the model')
        with stage(lambda error: f'while building {failing_part(error, model, "model")}'):
            return super().build_model(model)

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """As in the base class, in a stage."""
        with stage('while wrapping model for model_wrapper_cfg and this device'):
            return super().wrap_model(model_wrapper_cfg, model)

    def _init_model_weights(self) -> None:
        with stage('while initialising the weights of model (init_cfg)'):
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As in the base class, in a stage."""
        key = partial(failing_part, config=optim_wrapper, key='optim_wrapper')
        with stage(lambda error: f'while building {key(error)}'):
            return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """As in the base class, in a stage."""
        key = partial(failing_part, config=scheduler, key='param_scheduler')
        with stage(lambda error: f'while building {key(error)}'):
            return super().build_param_scheduler(scheduler)


class StagedTestRunner(StagedRunner):
    """The same for a test, which leaves the config of the training in its folder."""

    _keeps_config = True


class StagedFlexibleRunner(_Stages, FlexibleRunner):
    """MMEngine's runner of strategies (FSDP, DeepSpeed), with stages and its model built at once.

    Args:
        *args: of :class:`mmengine.runner.FlexibleRunner`.
        **kwargs: the same.

    Raises:
        ValueError: the strategy cannot train this model.
    """

    model: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not in train(), as the base class does: the model asks for hooks before it.
        config = self.model
        self.logger.info('Building the model')
        with stage(lambda error: f'while building {failing_part(error, config, "model")}'):
            self.model = self.strategy.build_model(config)
        fit_strategy(self.strategy, self.model)

    def train(self) -> nn.Module:
        """As in the base class; hooks can watch how the strategy initialises the model."""
        self.call_hook('before_init_weights')
        return super().train()

    def build_strategy(self, *args: Any, **kwargs: Any) -> Any:
        """As in the base class, in a stage."""
        with stage('while building strategy'):
            return super().build_strategy(*args, **kwargs)


def leave_config(runner: Runner, settings: Mapping[str, Any]) -> None:
    """Write the config of a run once more, with other settings, for the next run of the file."""
    if isinstance(runner, _Stages):  # not one of somebody else
        runner.dump_config(settings)


def _log_without_tables(
    log: Callable,
    processor: Any,
    runner: Runner,
    batch_idx: int,
    mode: str,
    *args: Any,
    **kwargs: Any,
) -> tuple[dict, str]:
    """Shorten the dicts and lists in a line of results; ``tag``, which is dumped, keeps them."""
    tag, text = log(runner, batch_idx, mode, *args, **kwargs)
    for name, value in processor._collect_non_scalars(runner, mode).items():
        if isinstance(value, (dict, list, tuple)):
            text = text.replace(f'  {name}: {value}', '')
    return tag, text


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """Walk through wrappers (RepeatDataset, ConcatDataset, ...) to the datasets with a pipeline."""
    for child in (getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())):
        if child is not None:
            yield from inner_datasets(child)
    if hasattr(dataset, 'prepare_data'):
        yield dataset


def name_items(dataset: Any, key: str) -> None:
    """Make a dataset name the item and its file when its pipeline fails."""
    dataset.prepare_data = partial(_prepare_named, dataset, key)


def _prepare_named(dataset: Any, key: str, index: int) -> Any:
    try:
        return type(dataset).prepare_data(dataset, index)
    except Exception as error:
        info = dataset.get_data_info(index)
        file = info.get('img_path', '') if isinstance(info, dict) else ''
        # A plain ValueError, since a worker sends its exception to the main process as text.
        raise ValueError(f'{key}: item {index}: {file}: {reason(error)}') from error


def _collate_named(collate: Callable, key: str, items: Sequence[Any]) -> Any:
    """Collate a batch; if its images cannot be stacked, name those of another size."""
    try:
        return collate(items)
    except RuntimeError as error:
        images = [item for item in items if _has_image(item)]
        shapes = [tuple(item['inputs'].shape) for item in images]
        usual = max(shapes, key=shapes.count, default=())
        odd = [
            f'{item["data_samples"].get("img_path", "an image")} of {shape}'
            for item, shape in zip(images, shapes, strict=True)
            if shape != usual
        ]
        if not odd:
            raise
        raise ValueError(
            f'{key}: expected images of one size in a batch, most have {usual}, got '
            f'{", ".join(odd[:SHOWN])}. Resize, or crop with padding, in the pipeline'
        ) from error


def _has_image(item: Any) -> bool:
    return (
        isinstance(item, dict) and 'data_samples' in item and hasattr(item.get('inputs'), 'shape')
    )
