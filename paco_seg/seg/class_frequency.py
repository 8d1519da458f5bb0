"""How often each class occurs in a training set, and the head / common / tail groups.

One JSON file per dataset, written by ``tools/class_statistics.py`` and read by everything that
needs a class prior or frequency groups::

    {"classes": ["wall", ...], "images": [11588, ...], "pixels": [1234567, ...],
     "num_images": 20210}

``images[c]`` counts the training images that contain class ``c``, ``pixels[c]`` its pixels; ignored
pixels count nowhere. ``pixels`` is ``null`` where only image counts were published.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

GROUP_NAMES = ('head', 'common', 'tail')
# Share of the training images (pixels) from which a class is head, and below which it is tail.
# On ADE20K the image thresholds give 22 / 90 / 38 classes.
GROUP_THRESHOLDS = {'images': (0.1, 0.01), 'pixels': (0.01, 0.001)}
REMEDY = 'Write the file with `python tools/class_statistics.py CONFIG`'


@dataclass(frozen=True)
class ClassFrequency:
    """Training frequency of C classes.

    Args:
        classes: C class names, in the order of the label values.
        images: C counts of training images that contain the class.
        pixels: C counts of training pixels, or None where they are unknown.
        num_images: size of the training set.
    """

    classes: tuple[str, ...]
    images: tuple[int, ...]
    pixels: tuple[int, ...] | None
    num_images: int

    def counts(self, by: str = 'images', key: str = 'frequency_file') -> np.ndarray:
        """(C,) int64 counts of one kind.

        Raises:
            ValueError: ``by`` is unknown, or the file has no pixel counts; names ``key``.
        """
        if by not in GROUP_THRESHOLDS:
            raise ValueError(f'{key}: expected counts of {tuple(GROUP_THRESHOLDS)}, got {by!r}.')
        values = getattr(self, by)
        if values is None:
            raise ValueError(f'{key}: expected {by!r} counts, got a file without them. {REMEDY}.')
        return np.asarray(values, dtype=np.int64)

    def shares(self, by: str = 'images', key: str = 'frequency_file') -> np.ndarray:
        """(C,) float64: share of the training images that contain the class, or of all pixels."""
        counts = self.counts(by, key)
        return counts / (self.num_images if by == 'images' else counts.sum())

    def prior(self, key: str = 'frequency_file') -> np.ndarray:
        """(C,) float64 probability of each class at a training pixel; sums to 1.

        Raises:
            ValueError: no pixel counts, or a class without a training pixel; names ``key``.
        """
        counts = self.counts('pixels', key)
        if (counts == 0).any():
            absent = [name for name, count in zip(self.classes, counts, strict=True) if not count]
            raise ValueError(
                f'{key}: expected training pixels of every class, got none of {absent}. '
                'Drop these classes from the dataset or train without a class prior.'
            )
        return counts / counts.sum()

    def groups(
        self, by: str = 'images', thresholds: Sequence[float] | None = None
    ) -> dict[str, list[int]]:
        """Classes of the head, common and tail group.

        A class whose share is at least ``thresholds[0]`` is head, below ``thresholds[1]`` tail,
        common otherwise. A group may be empty.

        Args:
            by: 'images' (share of the training images that contain the class) or 'pixels'.
            thresholds: two descending shares; None takes ``GROUP_THRESHOLDS[by]``.

        Returns:
            group name -> class indices by falling frequency (ties by index).
        """
        shares = self.shares(by)
        head, tail = GROUP_THRESHOLDS[by] if thresholds is None else check_thresholds(thresholds)
        groups: dict[str, list[int]] = {name: [] for name in GROUP_NAMES}
        for index in np.argsort(-shares, kind='stable').tolist():
            name = 'head' if shares[index] >= head else 'tail' if shares[index] < tail else 'common'
            groups[name].append(index)
        return groups


def check_thresholds(thresholds: Sequence[float], key: str = 'thresholds') -> tuple[float, float]:
    """Two descending shares in (0, 1], or a ValueError that names ``key``."""
    if len(thresholds) != 2 or not 1 >= thresholds[0] >= thresholds[1] > 0:
        raise ValueError(
            f'{key}: expected (head, tail) with 1 >= head >= tail > 0, got {tuple(thresholds)}. '
            'A class is head from the first share on and tail below the second.'
        )
    return float(thresholds[0]), float(thresholds[1])


def load_class_frequency(
    path: str | os.PathLike, key: str = 'frequency_file', classes: Sequence[str] | None = None
) -> ClassFrequency:
    """Read and check a frequency file.

    Args:
        path: JSON file of the form shown at the top of this module.
        key: the config key to name in errors.
        classes: class names of the dataset; the file has to list the same, in the same order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, or one of another dataset.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'{key}: expected a JSON file of class frequencies, got {str(path)!r}, which does '
            f'not exist. {REMEDY}.'
        )
    try:
        data = json.loads(Path(path).read_text(encoding='utf-8'))
        frequency = ClassFrequency(
            classes=tuple(data['classes']),
            images=_counts(data['images']),
            pixels=None if data.get('pixels') is None else _counts(data['pixels']),
            num_images=int(data['num_images']),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f'{key}: expected JSON with "classes", "images", "pixels" and "num_images", got '
            f'{str(path)!r} ({type(error).__name__}: {error}). {REMEDY}.'
        ) from error
    _check(frequency, f'{key} ({path})')
    if classes is not None:
        check_classes(frequency, classes, f'{key} ({path})')
    return frequency


def save_class_frequency(frequency: ClassFrequency, path: str | os.PathLike) -> None:
    """Write the file that :func:`load_class_frequency` reads; never leaves half a file."""
    _check(frequency, str(path))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    partial.write_text(json.dumps(asdict(frequency), indent=1) + '\n', encoding='utf-8')
    os.replace(partial, path)


def check_classes(
    frequency: ClassFrequency, classes: Sequence[str], key: str = 'frequency_file'
) -> None:
    """Raise a ValueError that names ``key`` unless the file is about these classes."""
    if len(frequency.classes) != len(classes):
        raise ValueError(
            f'{key}: expected {len(classes)} classes as in the dataset, got '
            f'{len(frequency.classes)}. {REMEDY}.'
        )
    for index, (ours, theirs) in enumerate(zip(frequency.classes, classes, strict=True)):
        if ours != theirs:
            raise ValueError(
                f'{key}: expected class {index} to be {theirs!r} as in the dataset, got {ours!r}. '
                f'{REMEDY}.'
            )


def _counts(values: Sequence[int]) -> tuple[int, ...]:
    if any(int(value) != value or value < 0 for value in values):
        raise ValueError('counts are integers >= 0')
    return tuple(int(value) for value in values)


def _check(frequency: ClassFrequency, key: str) -> None:
    wanted = len(frequency.classes)
    for name in ('images', 'pixels'):
        values = getattr(frequency, name)
        if values is not None and len(values) != wanted:
            raise ValueError(
                f'{key}: expected {wanted} {name!r} counts, one per class, got {len(values)}. '
                f'{REMEDY}.'
            )
    if max(frequency.images, default=0) > frequency.num_images:
        raise ValueError(
            f'{key}: expected "num_images" of at least {max(frequency.images)}, the largest image '
            f'count, got {frequency.num_images}. {REMEDY}.'
        )
    if frequency.pixels is not None and sum(frequency.pixels) == 0:
        raise ValueError(f'{key}: expected some labelled pixels, got none. {REMEDY}.')
