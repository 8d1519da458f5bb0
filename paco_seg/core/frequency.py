"""How often each class occurs in a training set: counts, groups, priors and their file.

One JSON file per data set, written by ``paco-seg statistics`` and read by everything that
needs a class prior or frequency groups, in segmentation and in classification::

    {"classes": ["wall", ...], "images": [11588, ...], "pixels": [1234567, ...],
     "num_images": 20210}

``images[c]`` counts the training images that contain class ``c``, ``pixels[c]`` its pixels; ignored
pixels count nowhere. ``pixels`` is ``null`` where only images were counted (always in
classification), ``classes`` where nobody knows the names. A flat list of image counts is read as
well: the older form of classification.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from paco_seg.core.checks import check_prior, check_range
from paco_seg.files import write_json

# The same three groups, by falling frequency, under the names that either field uses.
GROUP_NAMES = ('head', 'common', 'tail')  # segmentation
SHOT_GROUPS = ('many', 'medium', 'few')  # classification
# Segmentation: share of the training images (pixels) from which a class is head, and below which
# it is tail. On ADE20K the image thresholds give 22 / 90 / 38 classes.
GROUP_THRESHOLDS = {'images': (0.1, 0.01), 'pixels': (0.01, 0.001)}
# Classification: images above which a class has many, and below which it has few (Liu et al.,
# arXiv 1904.05160).
SHOT_THRESHOLDS = (100, 20)
REMEDY = 'Write the file with `paco-seg statistics CONFIG`'
_FORM = 'JSON with "classes", "images", "pixels" and "num_images"'
_LARGEST_SUM = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class ClassFrequency:
    """Training frequency of C classes.

    Args:
        classes: C class names, in the order of the label values; None = unknown.
        images: C counts of training images that contain the class.
        pixels: C counts of training pixels, or None where they are unknown.
        num_images: size of the training set.
        file: where it was read, for messages.

    Raises:
        ValueError: a count is no integer >= 0, their numbers differ, their sum leaves the range of
            int64, or ``num_images`` is below the largest image count.
    """

    classes: tuple[str, ...] | None
    images: tuple[int, ...]
    pixels: tuple[int, ...] | None
    num_images: int
    file: str = field(default='', compare=False)

    def __post_init__(self) -> None:
        """Check everything that anybody reads later."""
        if self.classes is not None:
            _check_names(self.classes)
        _check_counts('images', self.images)
        _check_counts('num_images', (self.num_images,))
        if self.pixels is not None:
            _check_counts('pixels', self.pixels)
        wanted = len(self.images) if self.classes is None else len(self.classes)
        for name in ('images', 'pixels'):
            values = getattr(self, name)
            if values is not None and len(values) != wanted:
                raise ValueError(
                    f'expected {wanted} {name!r} counts, one per class, got {len(values)}'
                )
        if max(self.images, default=0) > self.num_images:
            raise ValueError(
                f'expected "num_images" of at least {max(self.images)}, the largest image count, '
                f'got {self.num_images}'
            )
        if self.pixels is not None and sum(self.pixels) == 0:
            raise ValueError('expected some labelled pixels, got none')

    @property
    def names(self) -> tuple[str, ...]:
        """Class names; where nobody knows them, the indices."""
        return self.classes or tuple(str(index) for index in range(self.num_classes))

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.images)

    @property
    def kinds(self) -> list[str]:
        """Which counts there are: 'images', and 'pixels' of label maps."""
        return [by for by in GROUP_THRESHOLDS if getattr(self, by) is not None]

    def counts(self, by: str = 'images', key: str = 'frequency_file') -> npt.NDArray[np.int64]:
        """Return the (C,) int64 counts of one kind.

        Raises:
            ValueError: ``by`` is unknown, or the file has no pixel counts; names ``key``.
        """
        if by not in GROUP_THRESHOLDS:
            raise ValueError(f'{key}: expected counts of {tuple(GROUP_THRESHOLDS)}, got {by!r}')
        values = getattr(self, by)
        if values is None:
            raise ValueError(
                f'{key}: expected {by!r} counts, got {self.file or "a file"} without them. {REMEDY}'
            )
        return np.asarray(values, dtype=np.int64)

    def shares(self, by: str = 'images', *, key: str = 'frequency_file') -> npt.NDArray[np.float64]:
        """Return (C,) float64: share of the training images with the class, or of all pixels."""
        counts = self.counts(by, key=key)
        total = self.num_images if by == 'images' else int(counts.sum())
        shares: npt.NDArray[np.float64] = counts / max(total, 1)
        return shares

    def prior(self, by: str = 'pixels', *, key: str = 'frequency_file') -> npt.NDArray[np.float64]:
        """Return the (C,) float64 share of each class among all pixels, or (image, class) pairs.

        Raises:
            ValueError: there are no such counts, or a class never occurs; names ``key``.
        """
        counts = self.counts(by, key=key)
        if (counts == 0).any():
            absent = [self.names[index] for index in np.flatnonzero(counts == 0).tolist()]
            where = f' in {self.file}' if self.file else ''
            raise ValueError(
                f'{key}: expected training {by} of every class, got none of {absent}{where}. '
                'Drop these classes from the dataset or train without a class prior '
                '(frequency_file=None where it is optional)'
            )
        shares: npt.NDArray[np.float64] = counts / counts.sum()
        return shares

    def groups(
        self, by: str = 'images', thresholds: Sequence[float] | None = None
    ) -> dict[str, list[int]]:
        """Group the classes into head, common and tail by their shares.

        A class whose share is at least ``thresholds[0]`` is head, below ``thresholds[1]`` tail,
        common otherwise. A group may be empty.

        Args:
            by: 'images' (share of the training images that contain the class) or 'pixels'.
            thresholds: two descending shares; None takes ``GROUP_THRESHOLDS[by]``.

        Returns:
            group name -> class indices by falling frequency (ties by index).
        """
        shares = self.shares(by)
        bounds = GROUP_THRESHOLDS[by] if thresholds is None else check_thresholds(thresholds)
        return group_classes(shares, *bounds)


def group_classes(
    values: npt.ArrayLike, first: float, last: float, names: Sequence[str] = GROUP_NAMES
) -> dict[str, list[int]]:
    """Group classes by two thresholds.

    Args:
        values: (C,) counts or shares.
        first: a class of at least so much belongs to the first group.
        last: a class of less belongs to the last group; the rest to the middle one.
        names: of the three groups, :data:`GROUP_NAMES` or :data:`SHOT_GROUPS`.

    Returns:
        name -> class indices by falling value (ties by index). A group may be empty.

    Example:
        >>> group_classes([500, 5, 40], first=100, last=20)
        {'head': [0], 'common': [2], 'tail': [1]}
    """
    array = np.asarray(values)
    groups: dict[str, list[int]] = {name: [] for name in names}
    for index in np.argsort(-array.astype(np.float64), kind='stable').tolist():
        position = 0 if array[index] >= first else 2 if array[index] < last else 1
        groups[names[position]].append(index)
    return groups


def grouping_warning(groups: Mapping[str, Sequence[int]], key: str, remedy: str) -> str | None:
    """Say which groups are empty, or that all classes are in one; None if no group is.

    Args:
        groups: name -> classes.
        key: config key to name.
        remedy: what to change.
    """
    sizes = {name: len(members) for name, members in groups.items()}
    empty = [name for name, size in sizes.items() if not size]
    if not empty:
        return None
    got = ', '.join(f'{name} {size}' for name, size in sizes.items())
    if len(empty) == len(sizes) - 1:
        (full,) = (name for name in sizes if name not in empty)
        effect = f'all classes are {full!r}, whose mean is the mean over all classes'
    else:
        effect = f'no class is {empty[0]!r}'
    return (
        f'{key}: expected classes in every group, got {got}: {effect}. Values of empty groups are '
        f'left out. {remedy}'
    )


def log_class_prior(class_counts: Tensor) -> Tensor:
    """Return the logarithm of the class frequencies, ``log(n_j / sum_k n_k)``.

    PaCo adds 1e-9 to its prior before the logarithm, as its released code does:
    :func:`paco_seg.core.centers.adjust_center_logits`.

    Args:
        class_counts: (C,) counts or frequencies, all positive, any scale, any numeric dtype.

    Returns:
        (C,) float32 (float64 for float64 input), in nats.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a class has no sample; its prior would be -inf.

    Example:
        >>> log_class_prior(torch.tensor([90, 10]))
        tensor([-0.1054, -2.3026])
    """
    check_prior('class_counts', class_counts, class_counts.shape[-1] if class_counts.dim() else 0)
    # The sum of integer counts and the division are done in float64: counts above 2**24 (pixels)
    # are not exact in float32.
    counts = class_counts.double()
    dtype = torch.float64 if class_counts.dtype == torch.float64 else torch.float32
    return (counts.log() - counts.sum().log()).to(dtype)


def effective_numbers(class_counts: Tensor, beta: float) -> Tensor:
    """Return the effective number of samples of each class, ``(1 - beta^n_j) / (1 - beta)``.

    Cui et al., Class-Balanced Loss, arXiv 1901.05555, eq. 2. It tends to n_j for beta -> 1 and is
    1 for beta = 0.

    Args:
        class_counts: (C,) positive counts of training samples.
        beta: in [0, 1).

    Returns:
        (C,) float64; computed in float64 because 1 - beta^n cancels for beta near 1.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a count is not positive, or beta is out of range.
    """
    check_prior('class_counts', class_counts, class_counts.shape[-1] if class_counts.dim() else 0)
    check_range('beta', beta, low=0.0, high=1.0 - 1e-12)
    counts = class_counts.double()
    return (1.0 - torch.pow(torch.full_like(counts, beta), counts)) / (1.0 - beta)


def check_thresholds(thresholds: object, key: str = 'thresholds') -> tuple[float, float]:
    """Return two descending shares in (0, 1].

    Raises:
        ValueError: they are something else; names ``key``.
    """
    values = tuple(thresholds) if isinstance(thresholds, (list, tuple)) else ()
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    if len(values) != 2 or len(numbers) != 2 or not 1 >= numbers[0] >= numbers[1] > 0:
        raise ValueError(
            f'{key}: expected (head, tail) with 1 >= head >= tail > 0, got '
            f'{values or repr(thresholds)}. A class is head from the first share on and tail below '
            'the second'
        )
    return numbers[0], numbers[1]


def load_class_frequency(
    path: str | os.PathLike[str], key: str = 'frequency_file', classes: Sequence[str] | None = None
) -> ClassFrequency:
    """Read and check a frequency file.

    Args:
        path: JSON file of one of the forms at the top of this module.
        key: the config key to name in errors.
        classes: class names of the dataset; the file has to list the same, in the same order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, or one of another dataset.
    """
    where = f'{key} ({path})'
    data = _read_json(path, key, _FORM)
    if isinstance(data, list):
        frequency = class_frequency(data, where)
    else:
        try:
            classes_read, images = _tuple(data['classes']), _tuple(data['images'])
            pixels, num_images = _tuple(data.get('pixels')), data['num_images']
            if images is None:
                raise TypeError('"images" is null')
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f'{key}: expected {_FORM}, got {str(path)!r} ({type(error).__name__}: {error}). '
                f'{REMEDY}'
            ) from error
        try:
            frequency = ClassFrequency(classes_read, images, pixels, num_images)
        except ValueError as error:
            raise ValueError(f'{where}: {error}. {REMEDY}') from error
    if classes is not None:
        check_classes(frequency, classes, where)
    return replace(frequency, file=str(path))


def class_frequency(images: Any, key: str) -> ClassFrequency:
    """Make a frequency of a flat list of image counts, as classification has it.

    Every image has one class there, so that their number is the sum.

    Raises:
        ValueError: not a flat list of non-negative integers, or their sum overflows.
    """
    counts = _array(images)
    if counts.ndim != 1 or counts.dtype.kind not in 'iu' or (counts < 0).any():
        raise ValueError(
            f'{key}: expected a flat list of non-negative integers, got shape {counts.shape} of '
            f'{counts.dtype}. Write one integer per class'
        )
    values = tuple(counts.tolist())
    try:
        return ClassFrequency(None, values, None, sum(values))
    except ValueError as error:
        raise ValueError(f'{key}: {error}. Write one integer per class') from error


def read_prior(source: Any, key: str) -> tuple[Tensor, tuple[str, ...] | None]:
    """Read what a class prior is made of: counts or frequencies of images.

    Args:
        source: a flat sequence of numbers, or a JSON file that is a frequency file or holds a list,
            either of whole numbers or of frequencies up to 1.
        key: config key to name in errors.

    Returns:
        (C,) float64, not yet checked for zeros, and the class names if the file knows them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds anything else.
    """
    if isinstance(source, str):
        if not Path(source).is_file():
            raise FileNotFoundError(
                f"{key}: expected 'auto', a list or an existing JSON file, got {source!r}"
            )
        path, source = source, _read_json(source, key, f'JSON with a list of counts or {_FORM}')
        if isinstance(source, dict):
            frequency = load_class_frequency(path, key)
            return torch.from_numpy(frequency.counts('images', key=key)).double(), frequency.classes
        key = f'{key} ({path})'
        _check_written(source, key)
    values = source.numpy(force=True) if isinstance(source, Tensor) else _array(source)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in 'iuf':
        raise ValueError(
            f'{key}: expected a flat list with one positive number per class, got {source!r:.80}'
        )
    return torch.from_numpy(values.astype(np.float64)), None


def _check_written(values: Any, key: str) -> None:
    """Refuse a list from a file of which a number is neither a count nor a frequency.

    A list in a config may be on any scale, since somebody meant it; a file of counts that has
    fractions is one of something else, or a damaged one.
    """
    if not isinstance(values, list):
        return
    numbers = [value for value in values if isinstance(value, (int, float))]
    if max(numbers, default=0) <= 1:
        return
    for index, value in enumerate(values):
        if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
            raise ValueError(
                f'{key}: expected whole numbers, or frequencies of which none is above 1, got '
                f'{value!r} for class {index} and a largest of {max(numbers)!r:.40}. {REMEDY}'
            )


def save_class_frequency(
    frequency: ClassFrequency, path: str | os.PathLike[str], data: str | None = None
) -> None:
    """Write the file that :func:`load_class_frequency` reads; never leaves half a file.

    Args:
        frequency: what is written.
        path: of the JSON file.
        data: identifies the data that were counted, for :func:`counted_data`.
    """
    content = asdict(frequency)
    del content['file']
    write_json(path, content | ({} if data is None else {'data': data}))


def counted_data(path: str | os.PathLike[str], key: str = 'frequency_file') -> str | None:
    """Return what a file says that was counted; None if it says nothing."""
    content = _read_json(path, key, _FORM)
    data = content.get('data') if isinstance(content, dict) else None
    return data if isinstance(data, str) else None


def check_num_classes(
    frequency: ClassFrequency, num_classes: int, key: str, owner: str = 'as num_classes of the head'
) -> None:
    """Refuse frequencies of another number of classes.

    Raises:
        ValueError: names ``key`` and both numbers.
    """
    if frequency.num_classes != num_classes:
        raise ValueError(
            f'{key}: expected {num_classes} classes {owner}, got {frequency.num_classes}. {REMEDY}'
        )


def check_classes(
    frequency: ClassFrequency, classes: Sequence[str], key: str = 'frequency_file'
) -> None:
    """Refuse frequencies of other classes than a dataset has, in their number, name or order.

    Every reader of class frequencies asks here, before the first step: a prior of permuted
    classes trains without a word.

    Args:
        frequency: where it knows no names, only their number is compared.
        classes: of the dataset, in the order of the labels.
        key: config key to name.

    Raises:
        ValueError: names ``key``, and the first class that differs.
    """
    check_num_classes(frequency, len(classes), key, 'as in the dataset')
    check_class_names(frequency.classes, classes, key)


def check_class_names(names: Sequence[str] | None, classes: Sequence[str], key: str) -> None:
    """Refuse names that are not those of the dataset in the same order; None knows no names.

    Raises:
        ValueError: names ``key``, and the first class that differs.
    """
    if names is None:
        return
    for index, (ours, theirs) in enumerate(zip(names, classes, strict=True)):
        if ours != theirs:
            raise ValueError(
                f'{key}: expected class {index} to be {theirs!r} as in the dataset, got {ours!r}. '
                f'{REMEDY}'
            )


def _read_json(path: str | os.PathLike[str], key: str, form: str) -> Any:
    """Read a JSON file of frequencies, which should have this form."""
    if not isinstance(path, (str, os.PathLike)):  # open() would take 7 for a file that is open
        raise TypeError(f'{key}: expected the path of a JSON file, got {path!r}. {REMEDY}')
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'{key}: expected a JSON file of class frequencies, got {str(path)!r}, which does '
            f'not exist. {REMEDY}'
        )
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # RecursionError: nested a thousand times
        raise ValueError(f'{key} ({path}): expected {form}, got {error}. {REMEDY}') from None


def _array(values: Any) -> npt.NDArray[Any]:
    """Make an array of a list; whatever is no list of numbers becomes an array of objects."""
    if isinstance(values, (list, tuple)) and any(isinstance(value, bool) for value in values):
        return np.asarray(values, dtype=object)  # NumPy would read [3, True] as [3, 1]
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        return np.asarray(0, dtype=object)


def _tuple(values: Any) -> tuple[Any, ...] | None:
    """Make a tuple of a JSON list, with 3 for 3.0; null stays what it is."""
    if values is None:
        return None
    if not isinstance(values, list):
        raise TypeError(f'expected a list, got {values!r:.80}')
    return tuple(
        int(value) if isinstance(value, float) and value.is_integer() else value for value in values
    )


def _check_names(names: object) -> None:
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected 'classes' to be a list of names, got {names!r:.80}")


def _check_counts(name: str, values: object) -> None:
    if not isinstance(values, tuple):
        raise ValueError(f'expected {name!r} to be a tuple of counts, got {values!r:.80}')
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
            raise ValueError(
                f'expected {name!r} whose counts are integers >= 0, got {value!r:.40} for class '
                f'{index}'
            )
    if sum(values) > _LARGEST_SUM:
        raise ValueError(f'expected {name!r} whose sum is at most {_LARGEST_SUM}, got a larger one')
