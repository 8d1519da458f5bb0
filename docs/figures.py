"""Draw the figures of ``docs/how_it_works.md`` and ``docs/evidence.md``.

``python docs/figures.py`` writes ``docs/figures/``. In the first nothing is measured: the curves
are the formulas of the text, the class counts are those of the long-tailed digits of the
quickstart. The second are drawn from the committed results.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from paco_seg.comparison.user_report import frequency_figure
from paco_seg.core.alpha import CLASSIFICATION, SEGMENTATION
from paco_seg.files import written_aside

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / 'docs' / 'figures'
EVIDENCE = ROOT / 'benchmarks' / 'results' / 'evidence'
COUNTS = ROOT / 'docs' / 'quickstart_cls' / 'results.json'
BLUE, ORANGE, GREY = '#1f77b4', '#d95f02', '#bbbbbb'  # told apart in greyscale too


def target_probability(product: np.ndarray) -> np.ndarray:
    """Return the probability that the loss asks of the own center, for values of alpha |P|."""
    return 1 / (1 + product)


def alpha_figure() -> Figure:
    """Draw the target probability over alpha |P|, and where published recipes and 'auto' are."""
    figure, axes = plt.subplots(figsize=(7, 3.6), layout='constrained')
    product = np.logspace(-3, 3, 400)
    axes.semilogx(product, target_probability(product), color=BLUE, linewidth=2)
    for scale, name, height in (
        (CLASSIFICATION, 'classification', 0.1),
        (SEGMENTATION, 'segmentation', 0.22),
    ):
        low, high = scale.published
        axes.hlines(height, low, high, color=GREY, linewidth=6)
        label = f'published, {name}: {low:g} to {high:g}'
        axes.text(low / 1.15, height, label, ha='right', va='center', fontsize=8)
        axes.plot(scale.target, target_probability(np.array(scale.target)), 'o', color=ORANGE)
        axes.annotate(
            f"'auto', {name}: {scale.target:g}",
            (scale.target, target_probability(np.array(scale.target))),
            xytext=(8, 4),
            textcoords='offset points',
            fontsize=8,
        )
    axes.set(
        xlabel='alpha |P|: alpha times the sample positives of an anchor',
        ylabel='probability of the own center\nat the optimum',
        ylim=(0, 1.05),
    )
    axes.grid(alpha=0.3)
    return figure


def class_counts() -> list[int]:
    """Read the training images of each digit of the quickstart."""
    counts: list[int] = json.loads(COUNTS.read_text(encoding='utf-8'))['frequencies']
    return counts


def prior_figure() -> Figure:
    """Draw how much the log prior takes off the logit of each class during training."""
    counts = np.array(class_counts(), dtype=float)
    log_prior = np.log(counts / counts.sum())
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout='constrained')
    classes = np.arange(len(counts))
    left.bar(classes, counts, color=GREY)
    left.set(xlabel='digit', ylabel='training images', xticks=classes)
    right.bar(classes, log_prior.max() - log_prior, color=ORANGE)
    right.set(xlabel='digit', ylabel='logit to gain on the\nmost frequent class', xticks=classes)
    return figure


def tile_figure(tiles: int = 6) -> Figure:
    """Draw which tiles of the N x N similarities are computed, and what each one serves."""
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout='constrained')
    row, column = 1, 4
    for i in range(tiles):
        for j in range(tiles):
            computed = j >= i
            axes.add_patch(
                Rectangle(
                    (j, i), 1, 1, facecolor='#cfe2f3' if computed else 'white', edgecolor='#666666'
                )
            )
    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=BLUE))
    axes.add_patch(
        Rectangle((row, column), 1, 1, facecolor='none', edgecolor=BLUE, hatch='///', linewidth=1.5)
    )
    axes.text(2.05, 0.55, 'one tile at a time is in memory', fontsize=8, va='center')
    axes.annotate(
        '',
        (row + 1, column + 0.3),
        xytext=(column + 0.3, row + 1),
        arrowprops=dict(arrowstyle='->', color=ORANGE, linewidth=1.5),
    )
    axes.text(0.1, 5.5, 'its mirror image is never formed', fontsize=8, va='center')
    axes.set(
        xlim=(0, tiles), ylim=(tiles, 0), xlabel='contrast row j', ylabel='anchor i',
        xticks=[], yticks=[], aspect='equal',
    )  # fmt: skip
    return figure


# Set of photographs -> the systems that its figure shows. All of them would be a thicket; the table
# beside it has them.
BEST = 'rare-class-sampling+region-rebalance'
SHOWN = {
    'camvid': ('ce', 'gpaco', 'dice', 'region-rebalance', 'rare-class-sampling', BEST),
    'cifar100-lt-ir100': ('ce', 'reslt', 'balanced-softmax', 'bcl', 'gpaco'),
}


def evidence_figure(folder: str) -> Figure:
    """Results of each class against its frequency, from a comparison on photographs."""
    results = json.loads((EVIDENCE / folder / 'results.json').read_text())
    found = {system['name']: system for system in results['systems']}
    return frequency_figure({**results, 'systems': [found[name] for name in SHOWN[folder]]})


FIGURES: dict[str, Callable[[], Figure]] = {
    'alpha.png': alpha_figure,
    'prior.png': prior_figure,
    'tiles.png': tile_figure,
    'evidence-camvid.png': partial(evidence_figure, 'camvid'),
    'evidence-cifar100-lt.png': partial(evidence_figure, 'cifar100-lt-ir100'),
}


def main() -> None:
    """Write all figures."""
    for name, draw in FIGURES.items():
        figure = draw()
        with written_aside(FOLDER / name) as unfinished:
            figure.savefig(unfinished, dpi=130)
        plt.close(figure)


if __name__ == '__main__':
    main()
