"""Queue of past keys: content, labels and write position are buffers, so that it resumes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paco_seg.core.checks import check_count, check_integer, check_shape
from paco_seg.core.contrast import EMPTY
from paco_seg.core.distributed import joined_rows


class KeyQueue(nn.Module):
    """Ring buffer of the last ``size`` keys and their labels (PaCo, arXiv 2107.12028, section 3).

    Slots that have not been written hold zeros and the label -1, which the loss never
    contrasts. Every rank enqueues the keys of all ranks in rank order, so the queues stay equal.

    A key that is not finite takes its slot as an empty one: the loss scaler skips a step that
    overflows in half precision, but its keys would spoil every loss until the ring has turned.

    Args:
        size: K, slots.
        channels: D of a key.

    Attributes:
        keys: (K, D) float32 buffer.
        labels: (K,) int64 buffer; -1 = empty.
        position: scalar int64 buffer, slot that is written next.
        dropped: scalar int64 buffer, keys of all ranks that were not finite since the start of this
            process; not in checkpoints.

    Raises:
        TypeError: ``size`` or ``channels`` is no integer.
        ValueError: ``size`` or ``channels`` is below 1, or the keys do not fit into the memory.

    Example:
        >>> queue = KeyQueue(size=4, channels=2)
        >>> queue.enqueue(torch.ones(3, 2), torch.tensor([0, 1, 1]))
        >>> keys, labels = queue.contents()
        >>> labels
        tensor([ 0,  1,  1, -1])
    """

    keys: Tensor
    labels: Tensor
    position: Tensor
    dropped: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        check_count('queue_size', size, low=1)
        check_count('channels', channels, low=1)
        try:
            self.register_buffer('keys', torch.zeros(size, channels))
        except (RuntimeError, TypeError) as error:  # the allocator names no key
            raise ValueError(
                f'queue_size: expected keys that fit into the memory, got {size} of {channels} '
                f'channels ({4 * size * channels / 2**30:.3g} GiB). Make it smaller'
            ) from error
        self.register_buffer('labels', torch.full((size,), EMPTY, dtype=torch.long))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))
        # Checkpoints stay what they were without it.
        self.register_buffer('dropped', torch.zeros((), dtype=torch.long), persistent=False)

    def __len__(self) -> int:
        """Return K, the number of slots, written or not."""
        return len(self.labels)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor, chosen: Tensor | None = None) -> None:
        """Write the keys of all ranks at the position, wrapping around; the oldest are lost.

        Any number of keys fits; of more than K only the last K are kept. The position moves by
        the number of keys of all ranks, as in a ring buffer written one key at a time.

        Args:
            keys: (n, D) of this rank, stored in float32 as they are if they are finite.
            labels: (n,) integer.
            chosen: (n,) bool, which of them are written; None = all. The host need not know how
                many they are, and does not wait for a device to tell.

        Raises:
            ShapeError: the shapes do not fit the queue or each other.
            TypeError: labels are not integers.
        """
        check_shape('keys', keys, ('n', self.keys.shape[1]))
        check_shape('labels', labels, (len(keys),))
        check_integer('labels', labels)
        if chosen is not None:
            check_shape('chosen', chosen, (len(keys),))
        keys, labels = keys.detach().to(self.keys), labels.to(self.labels)
        if chosen is None:
            keys, labels = joined_rows(keys, labels)
        else:  # as integers: not every backend sends booleans
            keys, labels, chosen = joined_rows(keys, labels, chosen.to(self.labels))
            chosen = chosen.bool()
        finite = keys.isfinite().all(dim=1)  # rows, not a condition: no synchronisation
        counted = ~finite if chosen is None else ~finite & chosen
        self.dropped.add_(counted.sum())
        keys = keys.masked_fill(~finite.unsqueeze(1), 0.0)
        labels = labels.masked_fill(~finite, EMPTY)
        if chosen is None:
            self._write_all(keys, labels)
        else:
            self._write_chosen(keys, labels, chosen)

    def _write_all(self, keys: Tensor, labels: Tensor) -> None:
        size, count = len(self), len(labels)
        skip = max(count - size, 0)  # would be overwritten within this very call
        slots = (torch.arange(skip, count, device=labels.device) + self.position) % size
        self.keys[slots] = keys[skip:]
        self.labels[slots] = labels[skip:]
        self.position.add_(count).remainder_(size)

    def _write_chosen(self, keys: Tensor, labels: Tensor, chosen: Tensor) -> None:
        size = len(self)
        place = chosen.long().cumsum(0) - 1  # among the chosen ones
        count = chosen.sum()
        # The others, and those that would be overwritten at once, go to a slot that is cut off.
        written = chosen & (place >= count - size)
        slots = torch.where(written, (place + self.position) % size, size)
        for buffer, values in ((self.keys, keys), (self.labels, labels)):
            longer = torch.cat([buffer, buffer[:1]])
            longer[slots] = values
            buffer.copy_(longer[:size])
        self.position.add_(count).remainder_(size)

    def contents(self) -> tuple[Tensor, Tensor]:
        """Copy keys (K, D) and labels (K,), for use as ``keys`` and ``key_labels``.

        Copies, because the loss keeps them for its backward pass while a later micro-step of
        gradient accumulation may already write new keys.
        """
        return self.keys.clone(), self.labels.clone()
