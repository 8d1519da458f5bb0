"""Starts what a model remembers of its classes anew where the classes are others."""

from __future__ import annotations

import logging

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from paco_seg.core.class_queues import ClassQueues
from paco_seg.core.compared.proco import VMFMoments
from paco_seg.core.queue import KeyQueue
from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.hooks.class_names_check_hook import classes_of, classes_of_checkpoint

# Their shapes need not tell the classes apart: keys of a thousand classes would be loaded into a
# training of a hundred, under labels that mean something else or nothing.
MEMORIES = (KeyQueue, ClassQueues, VMFMoments)


@HOOKS.register_module()
class ClassMemoryHook(Hook):
    """Leaves key queues and class statistics out of a checkpoint of other classes.

    A training that starts from such weights (``load_from``) fills its own. Where the checkpoint or
    the data set does not name its classes, nothing is left out; a resumed training goes on with
    what it had.
    """

    # Ahead of CheckpointMatchHook, which loads for a trial; after EMAHook, which exchanges entries.
    priority = 'BELOW_NORMAL'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drop the entries; MMEngine calls it when the file is read and the model untouched."""
        trained = classes_of_checkpoint(checkpoint)
        model = bare_model(runner.model)
        found = [name for name, part in model.named_modules() if isinstance(part, MEMORIES)]
        if runner.cfg.get('resume') or trained is None or not found:
            return
        # Not earlier: where nothing is to be compared, the training data need not be there.
        classes = classes_of(runner.train_dataloader.dataset)
        if classes in (None, trained):
            return
        state = checkpoint.get('state_dict', checkpoint)
        left_out = [
            key
            for key in state
            if any(key.removeprefix('module.').startswith(f'{name}.') for name in found)
        ]
        for key in left_out:
            del state[key]
        if left_out:
            print_log(
                f'load_from: {", ".join(left_out)} belong to the {len(trained)} classes of the '
                f'checkpoint and start anew for the {len(classes or ())} of the training set',
                'current',
                logging.INFO,
            )
