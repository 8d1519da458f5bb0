"""Refuses the checkpoint of another model."""

from __future__ import annotations

import re
from collections import OrderedDict

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from paco_seg.core.checks import check_choice

# Parts that only training uses; without them a checkpoint of the stock model is complete.
TRAINING_ONLY = re.compile(
    r'(^|\.)(auxiliary_head|training_branches|contrast_module|loss_\w+|'
    r'\w*(projector|queue|momentum|prior)\w*)'
    r'(\.|$)'
)
# Class counts of a loss that MMPretrain's SwitchRecipeHook had brought by the time of the
# checkpoint, and brings again once it is loaded: they are counted again, too.
COUNTS_OF_LOSS = re.compile(r'(^|\.)loss_module\.\w+\.counts$')
# A list in an error message stops here; the log has the rest.
SHOWN = 8


@HOOKS.register_module()
class CheckpointMatchHook(Hook):
    """Compares the keys and shapes of a checkpoint with the model before it is used.

    MMEngine loads what fits and leaves the rest at its random start, with a warning in the log:
    fine for pretrained weights, fatal for a test.

    Args:
        require: what the checkpoint must bring.
            ``'inference'``: everything that prediction uses. Auxiliary heads, projectors, key
            queues and momentum encoders may be missing, and surplus keys are ignored.
            ``'all'``: exactly the keys of the model (to resume), but for the class counts of a loss
            that the config brings later.
            ``'any'``: at least one matching tensor (``load_from`` of a training).
    """

    # After the hooks that exchange entries of the checkpoint (EMAHook).
    priority = 'LOW'

    def __init__(self, require: str) -> None:
        check_choice('CheckpointMatchHook.require', require, ('inference', 'all', 'any'))
        self.require = require

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compares; MMEngine calls it when the file is read and the model still untouched.

        Raises:
            ValueError: lists missing, unexpected and wrongly shaped entries.
        """
        model = runner.model
        # FSDP alone can put whole tensors into the slices of its model.
        while (
            is_model_wrapper(model) and not isinstance(model, FullyShardedDataParallel)
        ) or isinstance(model, BaseTTAModel):
            model = model.module
        schedules = [
            hook.schedule for hook in runner.hooks if type(hook).__name__ == 'SwitchRecipeHook'
        ]
        later = any('loss' in recipe for schedule in schedules for recipe in schedule.values())
        load_matching(model, checkpoint, self.require, later_loss=later)


def load_matching(
    model: nn.Module, checkpoint: dict, require: str, *, later_loss: bool = False
) -> None:
    """Load the weights of a checkpoint into a model, and refuse those of another model.

    Args:
        model: without wrappers but that of FSDP.
        checkpoint: content of a file, or a bare state dict, as MMEngine accepts it too.
        require: as of :class:`CheckpointMatchHook`.
        later_loss: whether the config brings another loss in the course of the training.

    Raises:
        ValueError: lists missing, unexpected and wrongly shaped entries.
    """
    saved = checkpoint.get('state_dict', checkpoint)
    state = OrderedDict((re.sub(r'^module\.', '', key), saved[key]) for key in saved)
    # Versions of the modules, by which they recognise entries of an older layout.
    state._metadata = getattr(saved, '_metadata', OrderedDict())  # type: ignore[attr-defined]
    sharded = isinstance(model, FullyShardedDataParallel)
    # A trial load instead of a comparison of names: modules may rename or resize entries of
    # older checkpoints while they load (position embeddings). MMEngine loads again after it.
    misshaped: list[str] = []
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
        expected = [*missing, *(key for key in state if key not in unexpected)]
    except RuntimeError as error:
        # FSDP is broken by now, and so is the training.
        expected = list(state if sharded else model.state_dict())
        missing = [key for key in expected if key not in state]
        unexpected = [key for key in state if key not in expected]
        misshaped = re.findall(r'size mismatch for (\S+):', str(error))
        if not misshaped:
            raise
        misshaped = [key.removeprefix('_fsdp_wrapped_module.') for key in misshaped]
    # The batch counters of BN are newer than many a checkpoint, and nothing reads them.
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    expected = [key for key in expected if not key.endswith('num_batches_tracked')]

    if require == 'any':
        failed = (sharded and bool(misshaped)) or len(missing) + len(misshaped) >= len(expected)
    elif require == 'all':
        if later_loss:
            unexpected = [key for key in unexpected if not COUNTS_OF_LOSS.search(key)]
        failed = bool(missing or unexpected or misshaped)
    else:
        missing = [key for key in missing if not TRAINING_ONLY.search(key)]
        misshaped = [key for key in misshaped if not TRAINING_ONLY.search(key)]
        failed = bool(missing or misshaped)
    if failed:
        name = type(model.module if sharded else model).__name__
        raise ValueError(
            f'checkpoint: expected the weights of {name} as the config builds '
            f'it, got those of another model.{_listing("missing", missing)}'
            f'{_listing("unexpected", unexpected)}{_listing("of another shape", misshaped)}\n'
            'Use the config that the checkpoint was trained with (it lies in its work_dir).'
        )


def _listing(title: str, keys: list[str]) -> str:
    if not keys:
        return ''
    rest = f', and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''
    return f'\n  {len(keys)} {title}: {", ".join(keys[:SHOWN])}{rest}'
