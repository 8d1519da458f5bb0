"""Checkpoints that a kill or a full disk cannot take away."""

from __future__ import annotations

import os.path as osp
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from paco_seg.engine.divergence import check_weights_are_finite
from paco_seg.engine.resume import LAST
from paco_seg.files import is_being_written, write_text, written_aside

BACKEND = 'written_aside'
# Information of the message hub: checkpoints that go once the one that names them is written.
SUPERFLUOUS = 'superfluous_ckpt_ids'


@partial(register_backend, BACKEND)
class WrittenAsideBackend(LocalBackend):
    """MMEngine's storage of local files; what is written becomes visible once it is complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write or replace a file as :func:`paco_seg.files.written_aside` does."""
        with written_aside(filepath) as unfinished:
            unfinished.write_bytes(obj)


class _RemovalPostponed:
    """A file backend that collects what it is told to remove."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self.removals: list[tuple[str, Callable[[str], None]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.removals.append((path, self._backend.remove))

    def rmtree(self, path: str) -> None:
        self.removals.append((path, self._backend.rmtree))


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` with the same arguments, but in an order that loses nothing.

    A checkpoint is written aside and renamed, then ``last_checkpoint`` follows in the same way,
    and only then the one that ``max_keep_ckpts`` or a better metric makes superfluous is removed;
    if a kill comes between, the resumed training removes it.
    Weights that hold NaN are not written: the last good checkpoint stays the last. Checkpoints in
    remote storage (``backend_args``) and of sharded models are left to MMEngine.

    Example:
        >>> default_hooks = dict(checkpoint=dict(type='DurableCheckpointHook', interval=1))
    """

    # Set by MMEngine's constructor and before_train.
    backend_args: dict | None
    file_backend: Any
    last_ckpt: Any
    # The newest checkpoint that is complete.
    written: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Choose the way of writing; remove what a killed process left unfinished or behind."""
        folder = self.out_dir or runner.work_dir
        self._durable = (
            isinstance(runner, Runner)
            and self.file_client_args is None
            and self.backend_args is None
            and isinstance(get_file_backend(folder), LocalBackend)
        )
        if self._durable:
            self.backend_args = {'backend': BACKEND}
        super().before_train(runner)
        if self._durable and is_main_process():
            notes = Path(runner.work_dir).glob(f'.{LAST}.*.part')
            for path in (*Path(self.out_dir).glob('.*.part.pth'), *notes):
                if not is_being_written(path):
                    path.unlink(missing_ok=True)
            info = runner.message_hub.runtime_info
            # Only where a checkpoint of this folder is resumed, and the limit is still there.
            if self.max_keep_ckpts > 0 and 'last_ckpt' in info:
                self._remove(info.get(SUPERFLUOUS, ()))

    def _remove(self, steps: Iterable[int]) -> None:
        for step in steps:
            name = self.filename_tmpl.format(step)
            path = self.file_backend.join_path(self.out_dir, name)
            if step not in self.keep_ckpt_ids and self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if not self._durable:
            super()._save_checkpoint_with_step(runner, step, meta)
            self.written = self.last_ckpt
            return
        check_weights_are_finite(runner)
        filename = self.filename_tmpl.format(step)
        superfluous: list[int] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            while len(self.keep_ckpt_ids) >= self.max_keep_ckpts:
                superfluous.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            # ahead of writing: the checkpoint holds the lists
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            runner.message_hub.update_info(SUPERFLUOUS, superfluous)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_text(osp.join(runner.work_dir, LAST), self.last_ckpt)
            self._remove(superfluous)
        self.written = self.last_ckpt

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        self._check_monitored(runner, metrics)
        if not self._durable or not self.save_best:
            super()._save_best_checkpoint(runner, metrics)
            return
        check_weights_are_finite(runner)
        backend = self.file_backend
        postponed = self.file_backend = _RemovalPostponed(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = {getattr(self, 'best_ckpt_path', None)}
        best |= set(getattr(self, 'best_ckpt_path_dict', {}).values())
        for path, remove in postponed.removals:
            # A resumed run may have written the best checkpoint under the name of the old one.
            if path not in best:
                remove(path)

    def keep(self, runner: Runner) -> str | None:
        """Write all steps so far, between two of them, unless that has been done.

        Returns:
            The checkpoint; None if no step has been taken.
        """
        step = runner.epoch if self.by_epoch else runner.iter
        name = self.filename_tmpl.format(step)
        if runner.iter == 0:
            return None
        if self.written is None or osp.basename(self.written) != name:
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, step, meta)
        return self.written

    def _check_monitored(self, runner: Runner, metrics: dict) -> None:
        """Refuse a value of ``save_best`` that is not there, once the training so far is saved."""
        wanted = [name for name in getattr(self, 'key_indicators', None) or () if name != 'auto']
        missing = [name for name in wanted if metrics and name not in metrics]
        if not missing:
            return
        self.keep(runner)
        raise ValueError(
            'default_hooks.checkpoint.save_best: expected one of what the validation reports '
            f'({", ".join(metrics)}), got {missing[0]!r}. Correct it and continue with --resume: '
            f'{self.written} has all steps so far'
        )
