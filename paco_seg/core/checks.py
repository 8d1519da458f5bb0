"""Checks of shapes, dtypes and ranges, and the exceptions they raise.

Every message follows one form: ``<name>: expected <range or shape>, got <value>. <remedy>``, so
that the name can be looked up in a config.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

MOST_LAYERS = 1000  # of a projector


class ShapeError(ValueError):
    """A tensor has another rank or size than its contract says."""


def check_shape(name: str, tensor: Tensor, expected: Sequence[int | str]) -> None:
    """Compare a tensor's shape with a pattern such as ``('N', 128)``; a string matches any size.

    Raises:
        ShapeError: the rank or a fixed size differs.
    """
    matches = tensor.dim() == len(expected) and all(
        isinstance(want, str) or want == size
        for want, size in zip(expected, tensor.shape, strict=True)
    )
    if not matches:
        wanted = ', '.join(str(size) for size in expected)
        raise ShapeError(f'{name}: expected shape ({wanted}), got {tuple(tensor.shape)}')


def check_integer(name: str, tensor: Tensor) -> None:
    """Refuse anything but an integer tensor (class indices).

    Raises:
        TypeError: the tensor is of a floating, complex or boolean dtype.
    """
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f'{name}: expected integer class indices, got dtype {tensor.dtype}')


def check_range(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    remedy: str = '',
) -> None:
    """Refuse a number outside ``[low, high]`` (``(low, high]`` with ``low_open``), NaN included.

    An infinite bound is no bound; infinity itself is never in range.

    Raises:
        TypeError: ``value`` is not a real number (a bool is none).
        ValueError: ``value`` is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f'{name}: expected a number, got {value!r}. {remedy}'.rstrip('. '))
    number: Any = value  # of any size, which a float has not
    above = number > low if low_open else number >= low
    infinite = number in (math.inf, -math.inf)
    if not (above and number <= high) or infinite:
        if high == math.inf:
            wanted = f'{">" if low_open else ">="} {low:g}' if low > -math.inf else 'a number'
            wanted += ' and finite' if infinite else ''
        else:
            wanted = f'a value in {"(" if low_open else "["}{low:g}, {high:g}]'
        raise ValueError(f'{name}: expected {wanted}, got {value!r}. {remedy}'.rstrip('. '))


def check_count(
    name: str, value: object, *, low: int = 0, high: float = math.inf, remedy: str = ''
) -> None:
    """Refuse anything but an integer in ``[low, high]``; neither True nor 1.0 is one.

    Raises:
        TypeError: ``value`` is not an integer.
        ValueError: ``value`` is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'{name}: expected an integer, got {value!r}. {remedy}'.rstrip('. '))
    check_range(name, int(value), low=low, high=high, remedy=remedy)


def check_num_layers(name: str, value: object) -> None:
    """Refuse what is no number of layers: each is built in turn, 10**14 until the memory ends.

    Raises:
        TypeError: ``value`` is not an integer.
        ValueError: ``value`` is below 1 or above 1000.
    """
    check_count(name, value, low=1)
    check_count(name, value, low=1, high=MOST_LAYERS)


def check_bool(name: str, value: object) -> None:
    """Refuse anything but True and False: of a string even 'no' would count as true.

    Raises:
        TypeError: ``value`` is no bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f'{name}: expected True or False, got {value!r}')


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is not one of the named choices.

    Raises:
        ValueError: lists the choices.
    """
    if value not in choices:
        wanted = ', '.join(repr(choice) for choice in choices)
        raise ValueError(f'{name}: expected one of {wanted}, got {value!r}')


def check_labels(
    name: str, labels: Tensor, num_classes: int, *, allowed: Sequence[int] = ()
) -> None:
    """Refuse labels outside ``[0, num_classes)`` other than the ``allowed`` special values.

    Raises:
        ValueError: names the offending values. Where reading them would make the host wait, see
            :func:`require`, the device raises, and names the range alone.
    """
    if labels.numel() == 0:
        return
    labels = labels.long()  # of uint8 labels PyTorch would say that 255 == -1
    # Few operations: on a device each is a launch.
    good = labels == labels.clamp(0, num_classes - 1)
    for value in allowed:
        good = good | (labels == value)
    special = ''.join(f' or {value}' for value in allowed)
    require(
        good.all(),
        f'{name}: expected values in [0, {num_classes}){special}, got {{}}. '
        'Check num_classes, ignore_index and reduce_zero_label of the dataset',
        lambda: str(sorted(set(labels[~good].tolist()))[:5]),
    )


def require(holds: Tensor, message: str, found: Callable[[], str]) -> None:
    """Refuse tensors whose values do not hold, without making the host wait for a device.

    On a CPU the message tells what was found. On a device, and in a compiled graph, the condition
    is checked where it is computed: the device prints the message and the next call that waits for
    it raises (on CUDA ``device-side assert triggered``, as for a bad label of a cross entropy).

    Args:
        holds: scalar bool.
        message: with ``{}`` where what was found belongs.
        found: tells it; called on a CPU only.

    Raises:
        ValueError: on a CPU.
    """
    if holds.device.type != 'cpu' or torch.compiler.is_compiling():
        remedy = 'other values on a device (a run on a CPU names them)'
        torch._assert_async(holds, message.replace('{}', remedy))
    elif not bool(holds):
        raise ValueError(message.replace('{}', found()))


def check_prior(name: str, prior: Tensor, num_classes: int) -> None:
    """Refuse a class prior that is not C positive, finite frequencies.

    Raises:
        ShapeError: the length is not ``num_classes``.
        ValueError: an entry is zero, negative or not finite; lists the classes where
            :func:`require` may read them.
    """
    check_shape(name, prior, (num_classes,))
    bad = ~(torch.isfinite(prior) & (prior > 0))
    require(
        ~bad.any(),
        f'{name}: expected positive finite frequencies, got {{}}. A class without training '
        'samples has no prior: drop it or give it a small count',
        lambda: f'{prior[bad].tolist()[:10]} for classes {bad.nonzero().flatten().tolist()[:10]}',
    )


def compute_dtype(*tensors: Tensor | None) -> torch.dtype:
    """Return the dtype of the arithmetic: float64 if any input is float64, else float32.

    Half precision is a storage format here: a sum over thousands of exponentials needs the
    mantissa of float32, whatever autocast says.
    """
    if any(tensor is not None and tensor.dtype == torch.float64 for tensor in tensors):
        return torch.float64
    return torch.float32
