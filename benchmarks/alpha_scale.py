"""Does alpha='auto' transfer between data sets where a fixed alpha does not?

Trains a small network with GPaCo on three long-tailed sets made from the handwritten digits of
scikit-learn: the 10 digits, and 30 and 100 classes of two digits side by side. For each: a sweep of
fixed alphas, ``alpha='auto'``, cross entropy, and balanced softmax on the same two views. Every
finished run is kept in ``results/alpha_scale.json``; a second call continues where the first one
stopped.

    python benchmarks/alpha_scale.py [--seeds 3] [--steps 1200] [--workers 2]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch
import torch.nn.functional as F
from common import RESULTS, environment, table, write_results
from sklearn.datasets import load_digits
from torch import Tensor, nn

from paco_seg.core import KeyQueue, parametric_contrastive_loss
from paco_seg.core.alpha import auto_alpha, expected_positives

NAME = 'alpha_scale'
ALPHAS = (0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2)
DATA = {'10 digits': 10, '30 pairs': 30, '100 pairs': 100}  # number of classes
METHODS = ('cross entropy', 'balanced softmax', *ALPHAS, 'auto')
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


def show(runs: list[dict[str, Any]]) -> str:
    """Means over seeds; the alpha with the best mean on val is marked."""
    lines = []
    for name in DATA:
        rows: list[tuple[Any, ...]] = []
        for method in METHODS:
            found = [run for run in runs if run['data'] == name and run['method'] == method]
            if found:
                means = {
                    split: [
                        statistics.mean(column)
                        for column in zip(*(r[split] for r in found), strict=True)
                    ]
                    for split in ('val', 'test')
                }
                spread = statistics.stdev([r['test'][0] for r in found]) if len(found) > 1 else 0.0
                rows.append((method, found[0], len(found), means, spread))
        fixed = [row for row in rows if isinstance(row[0], float)]
        best = max(fixed, key=lambda row: row[3]['val'][0])[0] if fixed else None
        header = ['method', 'alpha', 'alpha |P|', 'seeds', 'val', 'test', 'head', 'medium', 'tail']
        cells = []
        for method, run, count, means, spread in rows:
            label = f'GPaCo {"(best on val)" if method == best else ""}'.strip()
            if method == 'auto':
                label = 'GPaCo auto'
            cells.append(
                [
                    label if 'alpha' in run else str(method),
                    f'{run["alpha"]:.4g}' if 'alpha' in run else '',
                    f'{run["product"]:.2f}' if 'alpha' in run else '',
                    str(count),
                    f'{means["val"][0]:.1f}',
                    f'{means["test"][0]:.1f} +- {spread:.1f}',
                    *(f'{value:.1f}' for value in means['test'][1:]),
                ]
            )
        if cells:
            lines.append(f'{name}\n{table(header, cells)}')
    return '\n\n'.join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=1200, help='of one training')
    parser.add_argument('--workers', type=int, default=2, help='trainings at a time, a core each')
    parser.add_argument('--data', nargs='+', default=list(DATA), choices=DATA)
    args = parser.parse_args()
    path = RESULTS / f'{NAME}.json'
    runs = json.loads(path.read_text())['runs'] if path.exists() else []
    done = {(run['data'], run['method'], run['seed'], run['steps']) for run in runs}
    wanted = itertools.product(args.data, METHODS, range(args.seeds), [args.steps])
    missing = sorted((key for key in wanted if key not in done), key=lambda key: key[2])
    with ProcessPoolExecutor(
        args.workers, get_context('spawn'), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for future in as_completed([pool.submit(train, *key) for key in missing]):
            runs.append(future.result())
            write_results(NAME, dict(environment=environment('cpu'), runs=runs))
            print(runs[-1], flush=True)
    print(show([run for run in runs if run['steps'] == args.steps]))


if __name__ == '__main__':
    main()
