"""Pictures of a user's comparison: gains by frequency, confusion of rare classes, predictions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from paco_seg.comparison.gallery import palette_of
from paco_seg.comparison.plots import colour, places_of, read, save, show_frequencies
from paco_seg.engine.class_confusion import EXAMPLES
from paco_seg.engine.pictures import read_picture

_MOST_EXAMPLES = 6
_MOST_NAMES = 30  # classes beyond which a picture names none


def draw_gains(
    path: str | os.PathLike,
    *,
    classes: Sequence[str],
    frequency: Sequence[float],
    gains: Mapping[str, Sequence[float | None]],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw what each system gains over the baseline, class by class, against their frequency.

    Few classes stand side by side: names of similar frequencies would cover each other.

    Args:
        path: picture to write.
        classes: C names.
        frequency: C training counts; a class without any is not shown.
        gains: system -> C mean differences (None: unknown).
        xlabel: what ``frequency`` is.
        ylabel: what the gains are.
    """
    order = [i for i in np.argsort(-np.asarray(frequency), kind='stable') if frequency[i] > 0]
    frequencies = np.asarray(frequency, dtype=float)[order]
    places = places_of(frequencies)
    figure, axis = plt.subplots(figsize=(8, 4.2), layout='constrained')
    axis.axhline(0.0, color='black', lw=0.8)
    for number, (title, values) in enumerate(gains.items()):
        shown = np.array([values[i] for i in order], dtype=float)  # None becomes nan
        axis.plot(
            places,
            shown,
            color=colour(number, len(gains)),
            marker='o',
            markersize=4,
            lw=1.2,
            label=title,
        )
    axis.set(xlabel=f'{xlabel} (frequent to rare)', ylabel=ylabel)
    axis.grid(alpha=0.3)
    show_frequencies(axis, frequencies, [classes[i] for i in order])
    figure.legend(loc='outside right center', fontsize=8, frameon=False)
    save(figure, path)


def draw_confusion(
    path: str | os.PathLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Mapping[str, np.ndarray],
) -> None:
    """Draw a panel per system: what the rare classes are taken for.

    Args:
        path: picture to write.
        rows: names of the rare classes.
        columns: names of the predicted classes.
        shares: system -> (rows, columns) percent.
    """
    across = min(3, len(shares))
    down = -(-len(shares) // across)
    size = (1.5 + 0.45 * len(columns), 1.3 + 0.35 * len(rows))
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(size[0] * across, size[1] * down),
        squeeze=False,
        layout='constrained',
    )
    for axis in axes.flat[len(shares) :]:
        axis.axis('off')
    for axis, (title, values) in zip(axes.flat, shares.items(), strict=False):
        axis.imshow(values, cmap='Blues', vmin=0, vmax=100, aspect='auto')
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(columns)), columns, fontsize=7, rotation=60, ha='right')
        axis.set_yticks(range(len(rows)), rows, fontsize=7)
        for (row, column), value in np.ndenumerate(values):
            if value >= 0.5:
                dark = 'white' if value > 60 else 'black'
                axis.text(
                    column, row, f'{value:.0f}', ha='center', va='center', fontsize=6, color=dark
                )
    save(figure, path)


def draw_examples(
    path: str | os.PathLike,
    *,
    folders: Mapping[str, Path],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None,
    measure: str,
) -> bool:
    """Draw predictions side by side on samples that show the rarest classes.

    Args:
        path: picture to write.
        folders: system -> folder of :class:`paco_seg.engine.class_confusion.ClassConfusion`.
        classes: C names.
        palette: C colours, or None for colours of our own.
        measure: ``'IoU'`` of label maps or ``'accuracy'`` of images.

    Returns:
        False if no image can be shown: nothing is written.
    """
    found = {
        title: {row['img_path']: row for row in json.loads((folder / EXAMPLES).read_text())}
        for title, folder in folders.items()
    }
    first = next(iter(found.values()), {})
    # The labels choose them: they are the same for every system.
    paths = [name for name in first if all(name in rows for rows in found.values())]
    images: dict[str, np.ndarray] = {}
    for name in paths[:_MOST_EXAMPLES]:
        image = read_picture(name)
        if image is not None:
            images[name] = image
    if not images:
        return False
    if measure == 'IoU':
        _draw_maps(path, images, found, folders, classes, palette)
    else:
        _draw_labels(path, images, found, classes)
    return True


def _draw_maps(
    path: str | os.PathLike,
    images: Mapping[str, np.ndarray],
    found: Mapping[str, Mapping[str, dict]],
    folders: Mapping[str, Path],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None,
) -> None:
    colours = np.zeros((65536, 3), dtype=np.uint8)
    colours[: len(classes)] = palette_of(len(classes), palette)
    titles = ['image', 'labels', *found]
    figure, axes = plt.subplots(
        len(images),
        len(titles),
        figsize=(2.1 * len(titles), 1.7 * len(images) + 0.9),
        squeeze=False,
    )
    shown: set[int] = set()
    first, folder = next(iter(found.values())), next(iter(folders.values()))
    for row, (name, image) in zip(axes, images.items(), strict=True):
        labels = read(folder / first[name]['label'], cv2.IMREAD_UNCHANGED)
        maps = [labels] + [
            read(folders[title] / found[title][name]['pred'], cv2.IMREAD_UNCHANGED)
            for title in found
        ]
        row[0].imshow(image[..., ::-1])
        row[0].set_ylabel(classes[first[name]['rare']], fontsize=8)
        for axis, labels in zip(row[1:], maps, strict=True):
            axis.imshow(colours[labels])
            shown |= {int(label) for label in np.unique(labels) if label < len(classes)}
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    named = sorted(shown)[:_MOST_NAMES]
    patches = [Patch(color=colours[label] / 255) for label in named]
    figure.legend(
        patches,
        [classes[label] for label in named],
        loc='lower center',
        ncols=6,
        fontsize=7,
        frameon=False,
    )
    space = 0.25 + 0.2 * -(-len(named) // 6)
    figure.tight_layout(pad=0.4, rect=(0, space / figure.get_figheight(), 1, 1))
    save(figure, path)


def _draw_labels(
    path: str | os.PathLike,
    images: Mapping[str, np.ndarray],
    found: Mapping[str, Mapping[str, dict]],
    classes: Sequence[str],
) -> None:
    figure, axes = plt.subplots(
        1,
        len(images),
        figsize=(2.4 * len(images), 2.4 + 0.17 * len(found)),
        squeeze=False,
        layout='constrained',
    )
    first = next(iter(found.values()))
    for axis, (name, image) in zip(axes[0], images.items(), strict=True):
        axis.imshow(image[..., ::-1])
        label = first[name]['label']
        axis.set_title(classes[label], fontsize=8)
        lines = []
        for title, rows in found.items():
            pred = rows[name]['pred']
            lines.append(f'{title}: {"right" if pred == label else classes[pred]}')
        axis.set_xlabel('\n'.join(lines), fontsize=7)
        axis.set_xticks([])
        axis.set_yticks([])
    save(figure, path)


def shares_of(
    systems: Sequence[Mapping[str, Any]], tail: Sequence[int], most: int = 12
) -> tuple[list[int], dict[str, np.ndarray]]:
    """Return what the rare classes are taken for, mean over the seeds.

    Args:
        systems: of ``results.json``.
        tail: indices of the rare classes.
        most: number of predicted classes to tell apart.

    Returns:
        The classes that the rare ones are taken for most, the most frequent first; and title ->
        (rare, predicted) percent.
    """
    sums: dict[int, float] = {}
    tables: dict[str, dict[tuple[int, int], float]] = {}
    for system in systems:
        table = tables.setdefault(system['title'], {})
        for run in system['runs']:
            for label in tail:
                for other, share in run['confused'].get(str(label), ()):
                    key = label, int(other)
                    table[key] = table.get(key, 0.0) + share / len(system['runs'])
                    sums[int(other)] = sums.get(int(other), 0.0) + share
    columns = sorted(sums, key=lambda label: (-sums[label], label))[:most]
    values = {
        title: np.array([[table.get((row, column), 0.0) for column in columns] for row in tail])
        for title, table in tables.items()
    }
    return columns, values
