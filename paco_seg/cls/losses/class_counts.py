"""Class counts of the training set as part of a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paco_seg.core.checks import check_prior


class ClassCounts(nn.Module):
    """Holds the class counts of the training set, whoever provides them.

    What the config says, or the training set delivers, is never replaced by a checkpoint; only
    ``'auto'`` that nobody has filled (a test without the training set) takes the counts the
    checkpoint was trained with. A checkpoint without them is complete as well.

    Args:
        source: ``'auto'`` (:class:`ClassCountHook` fills it from the training set), a sequence of
            counts or frequencies, or a JSON file that holds one.
        key: config key to name in errors.
        for_prediction: whether prediction reads them; those of a loss are needed in training only.

    Attributes:
        counts: (C,) float32 buffer, or (0,) as long as nobody has filled it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a flat list of positive finite numbers.
    """

    counts: Tensor
    required_hooks = ('ClassCountHook',)

    def __init__(
        self,
        source: str | Sequence[float],
        key: str = 'class_prior',
        *,
        for_prediction: bool = False,
    ) -> None:
        super().__init__()
        self.key = key
        self.for_prediction = for_prediction
        self.is_auto = isinstance(source, str) and source == 'auto'
        self.register_buffer('counts', torch.empty(0))
        if not self.is_auto:
            self._set(_read(source, key))

    def fill(self, counts: Sequence[int] | Tensor) -> None:
        """Take the counts of the training set, or compare their number with those given.

        Args:
            counts: (C,) images per class of the training set.

        Raises:
            ValueError: 'auto' and a class has no image, or the numbers of classes differ.
        """
        values = torch.as_tensor(counts)
        if self.is_auto:
            self._set(values)
        else:
            self.check_length(len(values), 'classes in the training set')

    def check_length(self, num_classes: int, what: str = 'as num_classes of the head') -> None:
        """Refuse given counts of another number of classes; 'auto' waits for the training set.

        Raises:
            ValueError: names the key and both numbers.
        """
        if not self.is_auto and len(self.counts) != num_classes:
            raise ValueError(
                f'{self.key}: expected {num_classes} values, {what}, got {len(self.counts)}. '
                "Give one per class, or 'auto'"
            )

    def check_counts(self, reason: str) -> None:
        """Refuse given frequencies where the numbers of images are needed.

        Args:
            reason: setting that needs them, for the message.

        Raises:
            ValueError: a value is below 1.
        """
        if not self.is_auto and bool((self.counts < 1).any()):
            raise ValueError(
                f'{self.key}: expected numbers of images for {reason}, got values from '
                f'{self.counts.min():g} to {self.counts.max():g}. Give the counts of the training '
                "set instead of frequencies, or 'auto'"
            )

    def forward(self) -> Tensor:
        """The counts, (C,).

        Raises:
            ValueError: 'auto', and nobody has filled it.
        """
        if not len(self.counts):
            raise ValueError(
                f"{self.key}: expected class counts before the first step, got 'auto' that nobody "
                "has filled. Add custom_hooks=[dict(type='ClassCountHook')], or give a list or a "
                'JSON file'
            )
        return self.counts

    def frequencies(self) -> Tensor:
        """The class prior, (C,), sums to 1."""
        counts = self()
        return counts / counts.sum()

    def extra_repr(self) -> str:
        """Number of classes, for ``print``."""
        return f'{len(self.counts) or self.key + "=auto"}'

    def _set(self, values: Tensor) -> None:
        check_prior(self.key, values, len(values))
        self.counts = values.to(self.counts)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # The checkpoint fills what is empty; anything else keeps what it has, and a missing entry
        # is not reported, since stock checkpoints have none.
        saved = state_dict.get(f'{prefix}counts')
        if saved is not None and not len(self.counts):
            self.counts = self.counts.new_empty(saved.shape)
        else:
            state_dict = {**state_dict, f'{prefix}counts': self.counts}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _read(source: str | Sequence[float], key: str) -> Tensor:
    if isinstance(source, str):
        if not Path(source).is_file():
            raise FileNotFoundError(
                f"{key}: expected 'auto', a list or an existing JSON file, got {source!r}"
            )
        key = f'{key} ({source})'
        try:
            source = json.loads(Path(source).read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{key}: expected JSON with a list of counts, got {error}') from error
    try:
        values = torch.as_tensor(source, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        values = torch.empty(0, 0)
    if values.dim() != 1 or not len(values):
        raise ValueError(
            f'{key}: expected a flat list with one positive number per class, got {source!r:.80}'
        )
    return values
