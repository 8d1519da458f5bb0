"""The loss of ContrastiveSeg, anchor by anchor in float64, and queues as lists."""

import math


def contrast_loss(
    anchors, labels, temperature, base_temperature=None, keys=(), key_labels=(), mining='all',
    negatives=10**9, positives=10**9, share=1.0,
):  # fmt: skip
    """Rows and labels as lists -> mean over the anchors that have a positive; label -1 is no row.

    ``mining``: 'hardest', or 'semi-hard' with numbers that leave nothing to chance.
    """
    rows, classes = [*anchors, *keys], [*labels, *key_labels]
    total, number = 0.0, 0
    for i, anchor in enumerate(anchors):
        if labels[i] < 0:
            continue
        near, far = [], []
        for k, row in enumerate(rows):
            if k == i or classes[k] < 0:
                continue
            similarity = sum(a * b for a, b in zip(anchor, row, strict=True)) / temperature
            (near if classes[k] == labels[i] else far).append(similarity)
        near, far = sorted(near), sorted(far, reverse=True)
        if mining == 'hardest':
            near, far = near[:positives], far[:negatives]
        elif mining == 'semi-hard':
            near, far = (part[: math.ceil(share * len(part))] for part in (near, far))
        if not near:
            continue
        number += 1
        loss = sum(
            -math.log(math.exp(s) / (math.exp(s) + sum(math.exp(n) for n in far))) for s in near
        )
        total += loss / len(near)
    factor = 1.0 if base_temperature is None else temperature / base_temperature
    return factor * total / max(number, 1)


class Rings:
    """Lists of the last keys of each class."""

    def __init__(self, num_classes, size):
        self.size = size
        self.keys = [[] for _ in range(num_classes)]

    def enqueue(self, keys, labels):
        for key, label in zip(keys, labels, strict=True):
            if 0 <= label < len(self.keys) and all(math.isfinite(value) for value in key):
                self.keys[label] = [*self.keys[label], key][-self.size :]
