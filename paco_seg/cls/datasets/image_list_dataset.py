"""``path label`` lists (ImageNet-LT, Places-LT, iNaturalist 2018), checked before training."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmengine.fileio import list_from_file
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from paco_seg.core.checks import check_bool, check_count

BYTE_ORDER_MARK = '\ufeff'  # an editor on Windows may begin a text with it
_SHOWN = 100  # entries of an error message; the exception carries all of them
_LENGTH = 200  # characters of a line in an error message


class ImageListError(ValueError):
    """An image list does not match its format, its classes or the files on disk.

    Attributes:
        entries: every offending line or path, also those that the message leaves out.
    """

    def __init__(self, message: str, entries: Sequence[str]):
        self.entries = list(entries)
        shown = '\n'.join(f'  {entry}' for entry in self.entries[:_SHOWN])
        if len(self.entries) > _SHOWN:
            shown += f'\n  and {len(self.entries) - _SHOWN} more'
        super().__init__(f'{message}\n{shown}' if self.entries else message)


def read_lines(path: str, key: str = 'ann_file') -> list[str]:
    """Return the lines of a list, divided as MMPretrain's data sets divide them.

    ``str.splitlines`` ends a line at U+2028 and others as well, which names of files may have.

    Args:
        path: the list.
        key: its config key, for errors.

    Raises:
        ImageListError: it is no text in UTF-8.
    """
    try:
        lines: list[str] = list_from_file(path)
    except UnicodeDecodeError as error:
        raise ImageListError(
            f'{key}: expected text in UTF-8 with lines "path label", got byte '
            f'{error.object[error.start]:#04x} at {error.start} of {path}. Name the list there, or '
            'write it in UTF-8',
            [],
        ) from None
    return lines


@DATASETS.register_module()
class ImageListDataset(CustomDataset):
    """MMPretrain's ``CustomDataset`` with an annotation file, verified when it is read.

    Each line is ``relative/path<space>label`` with a label from 0; no header. Everything that is
    wrong is reported at once, with file and line numbers, before the first training step.

    Args:
        ann_file: the list.
        num_classes: number of classes; labels must be below it. Without ``classes`` and
            ``metainfo`` the class names are the label numbers.
        metainfo: of the data set; its ``classes`` as below.
        classes: names of the classes, or a file with a name in each line.
        every_class: require at least one image of each class (training lists: a class without
            images has no prior).
        check_files: require every listed image to exist. Directories are listed once each, so
            that a list of 437 000 images does not need as many file-system calls.
        **kwargs: other arguments of :class:`mmpretrain.datasets.CustomDataset`.

    Raises:
        TypeError: a setting is of another kind.
        ValueError: ``num_classes`` is below 1, or not the number of class names.
        ImageListError: malformed lines, labels out of range, classes without images, missing
            images.
    """

    def __init__(
        self,
        ann_file: str,
        num_classes: int,
        metainfo: dict | None = None,
        classes: str | Sequence[str] | None = None,
        every_class: bool = False,
        check_files: bool = True,
        **kwargs,
    ):
        check_count('num_classes', num_classes, low=1)
        check_bool('every_class', every_class)
        check_bool('check_files', check_files)
        metainfo = dict(metainfo or {})
        if classes is not None:
            metainfo['classes'] = classes
        metainfo.setdefault('classes', tuple(str(label) for label in range(num_classes)))
        if isinstance(metainfo['classes'], str):  # a file of names, as MMEngine has it
            metainfo['classes'] = list_from_file(os.path.expanduser(metainfo['classes']))
        if len(metainfo['classes']) != num_classes:
            raise ValueError(
                f'metainfo.classes: expected {num_classes} names, got {len(metainfo["classes"])}. '
                'Make them agree with num_classes'
            )
        self.num_classes = num_classes
        self.every_class = every_class
        self.check_files = check_files
        super().__init__(ann_file=ann_file, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and verify the list."""
        lines = read_lines(self.ann_file)
        if lines:
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        samples = self._parse(lines)
        if self.every_class:
            present = {label for _, label in samples}
            absent = [str(c) for c in range(self.num_classes) if c not in present]
            if absent:
                raise ImageListError(
                    f'{self.ann_file}: expected images of {self.num_classes} classes, got '
                    f'{len(present)}. Check num_classes; classes without images:',
                    absent,
                )
        root = self.img_prefix or ''
        paths = [os.path.join(root, path) for path, _ in samples]
        if self.check_files:
            missing = self._missing(paths)
            if missing:
                raise ImageListError(
                    f'{self.ann_file}: expected {len(paths)} images on disk, got '
                    f'{len(paths) - len(missing)}. Check data_root; missing images:',
                    missing,
                )
        return [
            dict(img_path=path, gt_label=label)
            for path, (_, label) in zip(paths, samples, strict=True)
        ]

    def _parse(self, lines: Sequence[str]) -> list[tuple[str, int]]:
        samples, malformed = [], []
        for number, line in enumerate(lines, start=1):
            path, _, label = line.strip().rpartition(' ')
            digits = label.lstrip('0') or '0'  # Python converts no number of thousands of digits
            if not path or not label.isascii() or not label.isdigit():
                malformed.append(f'{self.ann_file}:{number}: {_short(line)!r} is not "path label"')
            elif len(digits) > len(str(self.num_classes)) or int(digits) >= self.num_classes:
                malformed.append(
                    f'{self.ann_file}:{number}: label {_short(label)} is outside '
                    f'[0, {self.num_classes})'
                )
            else:
                samples.append((path, int(digits)))
        if malformed or not samples:
            raise ImageListError(
                f'{self.ann_file}: expected lines "path label" with labels in '
                f'[0, {self.num_classes}), got {len(malformed)} malformed of {len(lines)} lines. '
                'Correct the list or num_classes:',
                malformed,
            )
        return samples

    @staticmethod
    def _missing(paths: Sequence[str]) -> list[str]:
        listed: dict[str, set[str]] = {}
        missing = []
        for path in paths:
            folder, name = os.path.split(path)
            if folder not in listed:
                exists = os.path.isdir(folder or '.')
                listed[folder] = set(os.listdir(folder or '.')) if exists else set()
            if name not in listed[folder]:
                missing.append(path)
        return missing


def _short(text: str) -> str:
    """Cut a text that would fill the screen."""
    return text if len(text) <= _LENGTH else f'{text[:_LENGTH]}... ({len(text)} characters)'
