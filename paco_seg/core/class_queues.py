"""One ring of past keys for each class, so that frequent classes never push rare ones out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paco_seg.core.checks import check_count, check_integer, check_shape
from paco_seg.core.contrast import EMPTY
from paco_seg.core.distributed import joined_rows


class ClassQueues(nn.Module):
    """The last ``size`` keys of each class (ContrastiveSeg, arXiv 2101.11939, section 3.2).

    Slots that have not been written are never drawn. Every rank enqueues the keys of all ranks in
    rank order, so the queues stay equal; content, fill and positions are buffers, so that they
    resume. Keys that are not finite, as those of a step that overflows in half precision, are left
    out. The host never waits to learn how many keys a class gets.

    Args:
        num_classes: C.
        size: slots of each class.
        channels: D of a key.

    Attributes:
        keys: (C * size + 1, D) float32 buffer; the last row takes what is not written.
        filled: (C,) int64 buffer, written slots of each class.
        positions: (C,) int64 buffer, the slot that is written next.

    Raises:
        TypeError: an argument is no integer.
        ValueError: an argument is below 1, or the keys do not fit into the memory.
    """

    keys: Tensor
    filled: Tensor
    positions: Tensor

    def __init__(self, num_classes: int, size: int, channels: int) -> None:
        super().__init__()
        check_count('num_classes', num_classes, low=1)
        check_count('memory_size', size, low=1)
        check_count('channels', channels, low=1)
        self.num_classes = num_classes
        self.size = size
        try:
            self.register_buffer('keys', torch.zeros(num_classes * size + 1, channels))
        except (RuntimeError, TypeError) as error:  # the allocator names no key
            gib = 4 * num_classes * size * channels / 2**30
            raise ValueError(
                f'memory_size: expected keys that fit into the memory, got {size} for each of '
                f'{num_classes} classes ({gib:.3g} GiB). Make it smaller'
            ) from error
        self.register_buffer('filled', torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer('positions', torch.zeros(num_classes, dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor, chosen: Tensor | None = None) -> None:
        """Write the keys of all ranks into the rings of their classes; the oldest are lost.

        Any number of keys fits; of more than ``size`` of a class the last ones are kept.

        Args:
            keys: (n, D) of this rank.
            labels: (n,) integer; keys whose label is outside [0, C) are left out.
            chosen: (n,) bool, which of them are written; None = all.

        Raises:
            ShapeError: the shapes do not fit the queues or each other.
            TypeError: labels are not integers.
        """
        check_shape('keys', keys, ('n', self.keys.shape[1]))
        check_shape('labels', labels, (len(keys),))
        check_integer('labels', labels)
        if chosen is not None:
            check_shape('chosen', chosen, (len(keys),))
            labels = labels.masked_fill(~chosen, EMPTY)
        keys, labels = joined_rows(keys.detach().to(self.keys), labels.long())
        outside = (labels < 0) | (labels >= self.num_classes) | ~keys.isfinite().all(dim=1)
        index = labels.masked_fill(outside, self.num_classes)
        index, order = index.sort(stable=True)
        number = torch.zeros(self.num_classes + 1, dtype=torch.long, device=index.device)
        number = number.index_add(0, index, torch.ones_like(index))
        place = torch.arange(len(index), device=index.device) - (number.cumsum(0) - number)[index]
        # Those that would be overwritten within this very call are not written.
        written = (index < self.num_classes) & (place >= number[index] - self.size)
        own = index.clamp(max=self.num_classes - 1)
        slots = own * self.size + (self.positions[own] + place) % self.size
        self.keys[torch.where(written, slots, len(self.keys) - 1)] = keys[order]
        self.keys[-1] = 0.0  # the last of several writes to one row is not defined
        number = number[: self.num_classes]
        self.positions.add_(number).remainder_(self.size)
        self.filled.add_(number).clamp_(max=self.size)

    def draw(
        self, per_class: int, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw keys of every class at random, without replacement, as copies.

        Args:
            per_class: keys of each class, at most ``size`` of which there are.
            generator: for a reproducible draw.

        Returns:
            Keys (C * k, D) and labels (C * k,), k the smaller of the two; label -1 where a class
            has fewer keys.
        """
        per_class = min(per_class, self.size)
        device = self.keys.device
        slots = torch.arange(self.size, device=device).expand(self.num_classes, -1)
        written = slots < self.filled.unsqueeze(1)
        scores = torch.rand(slots.shape, device=device, generator=generator)
        drawn = scores.masked_fill(~written, -1.0).topk(per_class, dim=1).indices
        classes = torch.arange(self.num_classes, device=device).unsqueeze(1)
        labels = classes.expand(-1, per_class).masked_fill(~written.gather(1, drawn), EMPTY)
        return self.keys[(classes * self.size + drawn).flatten()], labels.flatten()
