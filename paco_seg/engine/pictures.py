"""Painted predictions of a test: which ones, and whether they reach the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend
from mmengine.visualization.vis_backend import force_init_env

from paco_seg.engine.staged_runner import inner_datasets
from paco_seg.files import written_aside

# The hooks of MMSegmentation and MMPretrain that paint predictions.
HOOKS = ('SegVisualizationHook', 'VisualizationHook')


@VISBACKENDS.register_module()
class CheckedLocalVisBackend(LocalVisBackend):
    """MMEngine's backend, which says when a picture cannot be written.

    OpenCV returns False then, and MMEngine does not look; a file name that is not UTF-8 ends the
    process in ``cv2.imwrite``.

    Args:
        *args: of :class:`mmengine.visualization.LocalVisBackend`.
        **kwargs: the same.
    """

    @force_init_env  # or else the folder may be unknown
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Write ``NAME_STEP.png``.

        Raises:
            OSError: the picture is not on the disk.
        """
        path = Path(self._img_save_dir) / f'{name}_{step}.png'
        try:
            write_picture(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        except OSError as error:
            raise OSError(
                f'--show-dir: expected to write {str(path)!r}, got no complete picture. Check the '
                'free space'
            ) from error


def read_picture(path: str | os.PathLike[str], flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """Read a picture; None if there is none that OpenCV decodes.

    Not ``cv2.imread``: a file name that is not UTF-8 ends the process there.

    Args:
        path: the file.
        flags: of :func:`cv2.imdecode`.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    return cv2.imdecode(content, flags) if content.size else None


def write_picture(path: Path, image: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write a picture that is complete or absent.

    OpenCV itself may leave the beginning of a file on a full disk and report success.

    Args:
        path: its suffix says the format.
        image: (H, W) or (H, W, 3), BGR.
        options: of :func:`cv2.imencode`.

    Raises:
        OSError: it cannot be encoded or written.
    """
    encoded = encode_picture(path, image, options)
    with written_aside(path) as unfinished:
        unfinished.write_bytes(encoded)


def encode_picture(path: Path, image: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """Return what :func:`write_picture` writes."""
    fine, encoded = cv2.imencode(path.suffix, image, list(options))
    if not fine:
        raise OSError(f'{path}: expected a picture that OpenCV encodes, got {image.dtype}')
    return encoded.tobytes()


def images_of_one_name(dataset: Any, part_of_name: str = 'name') -> tuple[str, str] | None:
    """Find two images of a data set, in different folders, with the same file name.

    Label maps of MMSegmentation and pictures of MMPretrain are called after the file name alone: of
    such two only the later one would be left.

    Args:
        dataset: as built; wrappers are entered, and data in memory are passed over.
        part_of_name: 'name', or 'stem' to leave out the suffix.
    """
    found: dict[str, str] = {}
    for part in inner_datasets(dataset):
        for index in range(len(part)):
            info = part.get_data_info(index)
            path = info.get('img_path') if isinstance(info, dict) else None
            if path is None:
                continue
            other = found.setdefault(getattr(Path(path), part_of_name), path)
            if other != path:
                return other, path
    return None


class PictureSelection:
    """Stands before the visualization hook and passes on every n-th sample, up to a limit.

    MMSegmentation's hook paints every image of a test, which takes several times as long as the
    test itself.

    Args:
        paint: the hook's ``after_test_iter``.
        interval: one sample out of so many is painted, the first one always.
        limit: number of pictures of this process, or None.
    """

    def __init__(self, paint: Callable[..., None], interval: int, limit: int | None) -> None:
        self.paint = paint
        self.interval = interval
        self.limit = limit
        self.seen = 0
        self.painted = 0

    def __call__(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        """Paint the chosen samples of a batch."""
        chosen = [i for i in range(len(outputs)) if (self.seen + i) % self.interval == 0]
        self.seen += len(outputs)
        if self.limit is not None:
            chosen = chosen[: self.limit - self.painted]
        self.painted += len(chosen)
        if chosen:
            inputs = data_batch['inputs']
            if len(inputs) == len(outputs):  # with test-time augmentation it holds the views
                data_batch = {**data_batch, 'inputs': [inputs[i] for i in chosen]}
            self.paint(
                runner,
                batch_idx=batch_idx,
                data_batch=data_batch,
                outputs=[outputs[i] for i in chosen],
            )


def select_pictures(hooks: Sequence[Hook], interval: int, limit: int | None) -> None:
    """Put a :class:`PictureSelection` before the hooks that paint predictions."""
    for hook in hooks:
        if type(hook).__name__ in HOOKS:
            hook.after_test_iter = PictureSelection(hook.after_test_iter, interval, limit)
