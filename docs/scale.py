"""What a training step exchanges and keeps, by ranks, rows and classes; tables of docs/scale.md.

Bytes are those of the tensors that the code hands to ``torch.distributed``; a test counts them in
a simulated group of 64 processes. What a collective receives follows from its algorithm (a ring).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

FLOAT, LONG = 4, 8
MIB = 2**20
# A step of a large training takes about a second, in which a rank that shares 25 Gbit/s with
# nobody receives 3 GiB; a tenth of it, and 2 GiB of the memory of a GPU, are what we spend.
MOST_RECEIVED = 300 * MIB
MOST_MEMORY = 2048 * MIB


class Collective(NamedTuple):
    """One call of a collective, as one rank makes it.

    Args:
        kind: 'all_gather', 'all_reduce' or 'broadcast'.
        shape: of the tensor that the rank contributes.
        itemsize: bytes of an entry.
    """

    kind: str
    shape: tuple[int, ...]
    itemsize: int

    def received(self, ranks: int) -> float:
        """Bytes that a rank receives in a ring."""
        size = math.prod(self.shape) * self.itemsize
        if self.kind == 'all_gather':
            return size * (ranks - 1)
        if self.kind == 'all_reduce':
            return 2 * size * (ranks - 1) / ranks
        return size


class Cost(NamedTuple):
    """What a part of a step costs one rank.

    Args:
        collectives: in the order of the calls.
        memory: bytes of the tensors that stay until the end of the step, at their peak.
    """

    collectives: tuple[Collective, ...]
    memory: float

    def received(self, ranks: int) -> float:
        """Bytes that a rank receives in a step."""
        return sum(call.received(ranks) for call in self.collectives)


def world_scope(ranks: int, rows: int, channels: int = 128) -> Cost:
    """Cost of ``scope='world'``, and of ``gather=True`` of SupCon.

    Every rank gets the rows of all, and sends each the gradient of its own: both grow with the
    number of ranks, the second as one sum over all rows.

    Args:
        ranks: R, processes.
        rows: n, pixels of all images (or embeddings) of a rank, the longest of all ranks.
        channels: D of an embedding.
    """
    row = channels * FLOAT
    calls = (
        Collective('all_gather', (1,), LONG),  # numbers of rows
        Collective('all_gather', (rows, channels), FLOAT),
        Collective('all_gather', (rows,), LONG),  # labels
        Collective('all_reduce', (), LONG),  # valid pixels
        Collective('all_reduce', (ranks * rows, channels), FLOAT),  # gradients
    )
    gathered = ranks * rows * (row + LONG)
    joined = (ranks - 1) * rows * (row + LONG)
    gradients = (2 * ranks - 1) * rows * row
    return Cost(calls, gathered + joined + gradients)


def queue(ranks: int, rows: int, size: int, channels: int = 128, *, chosen: bool = False) -> Cost:
    """Cost of a queue that is the same on every rank.

    Args:
        ranks: R.
        rows: n, keys that a rank enqueues in a step, written or not.
        size: K, slots.
        channels: D of a key.
        chosen: whether a mask says which of the rows are written (the queue of pixels).
    """
    calls = (
        Collective('all_gather', (1,), LONG),
        Collective('all_gather', (rows, channels), FLOAT),
        Collective('all_gather', (rows,), LONG),
        *((Collective('all_gather', (rows,), LONG),) if chosen else ()),
    )
    key = channels * FLOAT + LONG
    # Buffers and the copy of them that the backward pass of the step reads; what is gathered, the
    # list of parts and joined.
    return Cost(calls, 2 * size * key + 2 * ranks * rows * (key + LONG * chosen))


def pixels_enqueued(images: int, pixels: int, classes: int, per_class: int = 10) -> int:
    """Rows that a rank exchanges for the queue of pixels: at most so many of each class and image.

    How many there are only the device knows; as many as there can be travel.
    """
    return min(images * classes * per_class, images * pixels)


def key_shuffle(ranks: int, images: int, image: tuple[int, ...] = (3, 224, 224)) -> Cost:
    """Cost of the shuffled key images of PaCo, which networks with BatchNorm need."""
    calls = (
        Collective('all_gather', (1,), LONG),
        Collective('all_gather', (images, *image), FLOAT),
        Collective('broadcast', (ranks * images,), LONG),  # the order
        Collective('all_gather', (1,), LONG),
        Collective('all_gather', (images, 128), FLOAT),  # the keys, back
    )
    return Cost(calls, 2 * ranks * images * math.prod(image) * FLOAT)


def center_logits(rows: int, classes: int) -> float:
    """Bytes of the logits of all rows, of those with the prior, and of their gradients."""
    return 3 * rows * classes * FLOAT


def sharded_queue(ranks: int, rows: int, size: int, channels: int = 128) -> Cost:
    """Cost of a queue of which each rank holds a part; this package has none.

    The anchors travel instead of the keys, and three sums of each anchor come back.
    """
    calls = (
        Collective('all_gather', (rows, channels), FLOAT),
        Collective('all_gather', (rows,), LONG),
        Collective('all_reduce', (ranks * rows, 3), FLOAT),
        Collective('all_reduce', (ranks * rows, channels), FLOAT),  # gradients
    )
    key = channels * FLOAT + LONG
    return Cost(calls, 2 * math.ceil(size / ranks) * key + 2 * ranks * rows * key)


def _size(number: float) -> str:
    units = ['B', 'KiB', 'MiB', 'GiB']
    while number >= 1000 and len(units) > 1:
        number /= 1024
        units.pop(0)
    digits = 0 if number >= 9.95 or units[0] == 'B' else 1
    return f'{number:.{digits}f} {units[0]}'


def _judged(cost: Cost, ranks: int) -> str:
    received = cost.received(ranks)
    text = f'{_size(received)}, {_size(cost.memory)}'
    return text if received <= MOST_RECEIVED and cost.memory <= MOST_MEMORY else f'**{text}**'


RANKS = (2, 8, 64, 256, 1024)


def ranks_table() -> str:
    """Return traffic and memory by ranks, of every part that grows with them."""
    parts: dict[str, Callable[[int], Cost]] = {
        "`scope='world'`, 2 images of 8192 pixels": lambda r: world_scope(r, 2 * 8192),
        "`scope='world'`, 2 images of 1024 pixels": lambda r: world_scope(r, 2 * 1024),
        'SupCon, 128 images, 2 views': lambda r: world_scope(r, 256),
        'queue of 8192 keys, 32 images': lambda r: queue(r, 32, 8192),
        'queue of 65536 keys, 128 images': lambda r: queue(r, 128, 65536),
        'queue of pixels, 19 classes, 2 images': lambda r: queue(
            r, pixels_enqueued(2, 8192, 19), 8192, chosen=True
        ),
        'queue of pixels, 150 classes, 2 images': lambda r: queue(
            r, pixels_enqueued(2, 8192, 150), 8192, chosen=True
        ),
        'queue of pixels, 847 classes or more, 2 images': lambda r: queue(
            r, pixels_enqueued(2, 8192, 847), 65536, chosen=True
        ),
        'PaCo, shuffled keys, 32 images of 224 x 224': lambda r: key_shuffle(r, 32),
    }
    lines = [
        '| part of a step | ' + ' | '.join(f'{r} ranks' for r in RANKS) + ' |',
        '|---' * (len(RANKS) + 1) + '|',
    ]
    for name, cost in parts.items():
        lines.append(f'| {name} | ' + ' | '.join(_judged(cost(r), r) for r in RANKS) + ' |')
    return '\n'.join(lines) + (
        f'\n\nReceived by each rank in a step, and memory that each needs for it. Bold: more than '
        f'{_size(MOST_RECEIVED)} or {_size(MOST_MEMORY)}.'
    )


CLASSES = (19, 150, 847, 1000, 8142, 22_000)


def classes_table() -> str:
    """Return memory of the center logits by classes, which no number of ranks changes."""
    sizes = {
        '256 embeddings (128 images, 2 views)': 256,
        '1 image of 1024 pixels': 1024,
        '1 image of 8192 pixels': 8192,
        '2 images of 8192 pixels': 16384,
    }
    lines = [
        '| rows of a rank | ' + ' | '.join(f'{c} classes' for c in CLASSES) + ' |',
        '|---' * (len(CLASSES) + 1) + '|',
    ]
    for name, rows in sizes.items():
        cells = []
        for classes in CLASSES:
            number = center_logits(rows, classes)
            cells.append(_size(number) if number <= MOST_MEMORY else f'**{_size(number)}**')
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def limits_table() -> str:
    """Return the largest number of ranks, a power of two, within both limits."""
    lines = ['| part of a step | up to | beyond |', '|---' * 3 + '|']
    rows: tuple[tuple[str, Callable[[int], Cost], str], ...] = (
        (
            "`scope='world'`, 2 images of 8192 pixels",
            lambda r: world_scope(r, 2 * 8192),
            "fewer `num_pixels`, then `scope='batch'`",
        ),
        (
            "`scope='world'`, 2 images of 1024 pixels",
            lambda r: world_scope(r, 2 * 1024),
            "`scope='batch'` with a queue",
        ),
        (
            'SupCon, 128 images, 2 views',
            lambda r: world_scope(r, 256),
            '`gather=False`, or a queue (`GPaCoClsHead`)',
        ),
        (
            'queue of 65536 keys or the images of a step, 128 images',
            lambda r: queue(r, 128, max(65536, 128 * r)),
            'fewer images per rank; a queue per rank is not in this package',
        ),
        (
            'queue of pixels, 150 classes, 2 images',
            lambda r: queue(r, pixels_enqueued(2, 8192, 150), 8192, chosen=True),
            'a smaller `queue_pixels_per_class`, then no queue',
        ),
        (
            'PaCo, shuffled keys, 32 images of 224 x 224',
            lambda r: key_shuffle(r, 32),
            'GPaCo, or a network without BatchNorm, which needs no shuffling',
        ),
    )
    for name, cost, remedy in rows:
        fits = [
            r
            for r in (2**power for power in range(1, 15))
            if cost(r).received(r) <= MOST_RECEIVED and cost(r).memory <= MOST_MEMORY
        ]
        most = f'{fits[-1]} ranks' if fits else '1 rank'
        lines.append(f'| {name} | {most} | {remedy} |')
    return '\n'.join(lines)
