"""Class counts of the training set as part of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from paco_seg.core.checks import check_prior, require
from paco_seg.core.frequency import check_class_names, read_prior


class ClassCounts(nn.Module):
    """Holds the class counts of the training set, whoever provides them.

    What the config says, or the training set delivers, is never replaced by a checkpoint; only
    ``'auto'`` that nobody has filled (a test without the training set) takes the counts the
    checkpoint was trained with. A checkpoint without them is complete as well.

    Args:
        source: ``'auto'`` (:class:`ClassCountHook` fills it from the training set), a sequence of
            counts or frequencies, or a JSON file that holds one or is a frequency file
            (:mod:`paco_seg.core.frequency`).
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
        self.names: tuple[str, ...] | None = None
        if not self.is_auto:
            values, self.names = read_prior(source, key)
            self._set(values)

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

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse given counts of other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        self.check_length(len(classes), 'classes in the training set')
        check_class_names(self.names, classes, self.key)

    def check_counts(self, reason: str) -> None:
        """Refuse given frequencies where the numbers of images are needed.

        Args:
            reason: setting that needs them, for the message.

        Raises:
            ValueError: a value is below 1.
        """
        if not self.is_auto:
            require(
                (self.counts >= 1).all(),
                f'{self.key}: expected numbers of images for {reason}, got {{}}. Give the counts '
                "of the training set instead of frequencies, or 'auto'",
                lambda: f'values from {self.counts.min():g} to {self.counts.max():g}',
            )

    def forward(self) -> Tensor:
        """Return the counts, (C,).

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
        """Return the class prior, (C,), which sums to 1."""
        counts = self()
        return counts / counts.sum()

    def extra_repr(self) -> str:
        """Return the number of classes, for ``print``."""
        return f'{len(self.counts) or self.key + "=auto"}'

    def _set(self, values: Tensor) -> None:
        check_prior(self.key, values, len(values))
        counts = values.to(self.counts)
        check_prior(self.key, counts, len(counts))  # 1e-60 is 0 and 1e60 infinite in float32
        most = torch.finfo(counts.dtype).max
        require(
            counts.sum().isfinite(),
            f'{self.key}: expected counts whose sum is at most {most:.3g}, got {{}}',
            lambda: 'a larger one',
        )
        self.counts = counts

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
