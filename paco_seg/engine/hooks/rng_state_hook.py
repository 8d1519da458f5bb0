"""Resume that equals the uninterrupted run, bit for bit."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from paco_seg.engine.rng import STEP, seed_by_position, seed_generators


@HOOKS.register_module()
class RNGStateHook(Hook):
    """Sets the state of all random generators before every step and every training sample.

    A state is computed from the seed of the run, the rank and the iteration (or the position of
    the sample), see :mod:`paco_seg.engine.rng`. So a run that was stopped and resumed draws the
    numbers it would have drawn, with any number of loader workers and in every rank, and a
    checkpoint holds no generator state. It needs the seed of the first run: MMEngine stores it in
    the checkpoint, ``paco-seg train --resume`` reads it from there before the loader is built.

    Exact from any checkpoint of an iteration-based loop and from the end-of-epoch checkpoints of
    an epoch-based one (MMEngine itself starts an interrupted epoch over). Between ranks the
    numbers differ, as with ``randomness.diff_rank_seed``.

    Example:
        >>> custom_hooks = [dict(type='RNGStateHook')]
    """

    # Ahead of every hook that draws random numbers or sets the sampler's epoch.
    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Prepares the training loader; the seed and the iteration are resumed by now."""
        if not seed_by_position(runner.train_dataloader, runner.seed, runner.rank):
            runner.logger.warning(
                'train_dataloader: expected a map-style dataset and a sampler, got '
                f'{type(runner.train_dataloader.dataset).__name__}. Its order and its random '
                'augmentation will differ after a resume.'
            )
        elif hasattr(runner.train_loop, 'dataloader_iterator'):
            # MMEngine 0.10.7 starts the workers with the loop: start them again, prepared.
            iterator_type = type(runner.train_loop.dataloader_iterator)
            runner.train_loop.dataloader_iterator = iterator_type(runner.train_dataloader)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        """Seeds what the step draws: dropout, pixel selection, mixup."""
        seed_generators(runner.seed, STEP, runner.rank, runner.iter)
