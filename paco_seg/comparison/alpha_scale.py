"""One training of the study on the scale of alpha, as a program.

    python -m paco_seg.comparison.alpha_scale --data '10 digits' --method auto --out FILE.json

Trains a small network on a long-tailed set made from the handwritten digits of scikit-learn: the 10
digits, or 30 or 100 classes of two digits side by side. The method is cross entropy, Balanced
Softmax on the same two views, or GPaCo with an alpha, a number or ``auto``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from paco_seg.core import KeyQueue, parametric_contrastive_loss
from paco_seg.core.alpha import auto_alpha, expected_positives
from paco_seg.files import write_json

DATA = {'10 digits': 10, '30 pairs': 30, '100 pairs': 100}  # number of classes
BATCH, KEYS, TEMPERATURE = 64, 512, 0.2
# Source images of one digit (about 178): disjoint for training, choice of alpha, and report.
POOLS = {'train': slice(0, 100), 'val': slice(100, 135), 'test': slice(135, None)}


def tail_counts(classes: int, most: int, least: int) -> list[int]:
    """Exponential profile from ``most`` to ``least`` images."""
    return [int(most * (least / most) ** (c / (classes - 1))) for c in range(classes)]


def digit_pools() -> dict[str, list[Tensor]]:
    """(n, 1, 8, 8) images in [0, 1] of each digit, by pool."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    by_digit = [images[labels == digit] for digit in range(10)]
    return {pool: [images[part] for images in by_digit] for pool, part in POOLS.items()}


def make_set(name: str) -> tuple[list[int], dict[str, tuple[Tensor, Tensor]]]:
    """Training counts, and (images, labels) of train (long-tailed), val and test (balanced)."""
    pools, classes = digit_pools(), DATA[name]
    generator = torch.Generator().manual_seed(1)
    data: dict[str, tuple[Tensor, Tensor]] = {}
    if classes == 10:
        counts = tail_counts(10, 100, 2)
        for pool, images in pools.items():
            kept = (
                [x[:n] for x, n in zip(images, counts, strict=True)] if pool == 'train' else images
            )
            labels = [torch.full((len(x),), c) for c, x in enumerate(kept)]
            data[pool] = torch.cat(kept), torch.cat(labels)
        return counts, data
    counts = tail_counts(classes, 150, 2)
    # Which pairs are used, and which are rare, is drawn, so that no digit is rare as such.
    pairs = torch.randperm(100, generator=generator)[:classes].tolist()
    for pool, images in pools.items():
        per_class = (
            counts
            if pool == 'train'
            else [1000 // classes if pool == 'val' else 2000 // classes] * classes
        )
        rows, labels = [], []
        for c, (pair, count) in enumerate(zip(pairs, per_class, strict=True)):
            halves = [
                images[digit][torch.randint(len(images[digit]), (count,), generator=generator)]
                for digit in divmod(pair, 10)
            ]
            rows.append(torch.cat(halves, dim=-1))
            labels.append(torch.full((count,), c))
        data[pool] = torch.cat(rows), torch.cat(labels)
    return counts, data


def augment(images: Tensor) -> Tensor:
    """Shift by up to one pixel, change of contrast, noise."""
    padded = F.pad(images, (1, 1, 1, 1))
    height, width = images.shape[-2:]
    shift = torch.randint(3, (len(images), 2))
    rows = (shift[:, :1] + torch.arange(height))[:, None, :, None]
    columns = (shift[:, 1:] + torch.arange(width))[:, None, None, :]
    moved = padded[torch.arange(len(images))[:, None, None, None], 0, rows, columns]
    contrast = 1 + 0.6 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    return moved * contrast + 0.1 * torch.randn_like(moved)


class Network(nn.Module):
    """Three convolutions, mean over the image, classifier, and projector of GPaCo."""

    def __init__(self, num_classes: int, width: int = 64, channels: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = 1
        for out, stride in ((32, 1), (width, 2), (width, 1)):
            layers += [nn.Conv2d(last, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)]
            layers.append(nn.ReLU())
            last = out
        self.encoder = nn.Sequential(*layers, nn.Flatten(2))
        self.fc = nn.Linear(2 * width, num_classes)
        self.projector = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, channels),
        )

    def features(self, images: Tensor) -> Tensor:
        """(N, width * 2): means over the left and the right half, so that pairs have an order."""
        maps = self.encoder(images).unflatten(2, (4, -1))
        left, right = maps.chunk(2, dim=3)
        return torch.cat([left.mean(dim=(2, 3)), right.mean(dim=(2, 3))], dim=1)


def train(name: str, method: str | float, seed: int, steps: int) -> dict[str, Any]:
    """One training; accuracies in percent on val and test."""
    counts, data = make_set(name)
    torch.manual_seed(seed)
    prior = torch.tensor(counts) / sum(counts)
    positives = expected_positives(prior, KEYS + 2 * (BATCH - 1), certain=1)
    alpha = auto_alpha(positives) if method == 'auto' else method
    model, queue = Network(len(counts)), KeyQueue(KEYS, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, labels = data['train']
    for _ in range(steps):
        drawn = torch.randint(len(labels), (BATCH,))
        target = labels[drawn]
        features = torch.cat([model.features(augment(images[drawn])) for _ in range(2)])
        logits, both = model.fc(features), target.repeat(2)
        if isinstance(alpha, float):
            embeddings = F.normalize(model.projector(features))
            keys, key_labels = queue.contents()
            loss = parametric_contrastive_loss(
                embeddings,
                both,
                logits,
                alpha=alpha,
                temperature=TEMPERATURE,
                class_prior=prior,
                keys=keys,
                key_labels=key_labels,
            )
            queue.enqueue(embeddings[BATCH:], target)
        else:
            loss = F.cross_entropy(logits + prior.log() * (method == 'balanced softmax'), both)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    result: dict[str, Any] = dict(data=name, method=method, seed=seed, steps=steps)
    if isinstance(alpha, float):
        result |= dict(alpha=alpha, product=float(alpha * positives.max()))
    model.eval()
    thirds = torch.arange(len(counts)).chunk(3)
    with torch.no_grad():
        for split in ('val', 'test'):
            images, labels = data[split]
            hits = (model.fc(model.features(images)).argmax(dim=1) == labels).double()
            by_class = torch.stack([hits[labels == c].mean() for c in range(len(counts))])
            values = [by_class.mean(), *(by_class[group].mean() for group in thirds)]
            result[split] = [round(100 * float(value), 2) for value in values]
    return result


def main(argv: list[str] | None = None) -> None:
    """Train once and write the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', choices=DATA, required=True)
    parser.add_argument('--method', required=True, help="a name, a number or 'auto'")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--steps', type=int, default=1200)
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    method: str | float = args.method
    if method not in ('cross entropy', 'balanced softmax', 'auto'):
        method = float(method)
    result = train(args.data, method, args.seed, args.steps)
    head, medium, tail = result['test'][1:]
    metrics = dict(
        val=result['val'][0], test=result['test'][0], head=head, medium=medium, tail=tail
    )
    write_json(args.out, dict(metrics=metrics, product=result.get('product'), run=result))
    print(json.dumps(result))


if __name__ == '__main__':
    main()
