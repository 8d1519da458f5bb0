"""Pictures that compare trainings: label maps, per-class values by frequency, curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np

matplotlib.use('Agg')  # files only: no window system is needed

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from paco_seg.core.frequency import ClassFrequency
from paco_seg.engine.pictures import read_picture
from paco_seg.files import written_aside

Curve = Sequence[Sequence[float]]
GROUP_COLOURS = ('tab:blue', 'tab:orange', 'tab:red')  # from frequent to rare
FEW_CLASSES = 30  # more names and lines than these cover each other


def draw_label_maps(
    path: str | os.PathLike,
    *,
    images: Sequence[str | os.PathLike],
    columns: Mapping[str, Sequence[str | os.PathLike]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> None:
    """Draw a row per image: the image, then its label map of each column in the class colours.

    Args:
        path: picture to write.
        images: image files.
        columns: title -> label map files, one per image; values index ``classes``.
        classes: C names for the legend.
        palette: C colours, RGB from 0 to 255.
    """
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette
    figure, axes = plt.subplots(
        len(images),
        1 + len(columns),
        figsize=(1.7 * (1 + len(columns)), 1.7 * len(images) + 0.9),
        squeeze=False,
    )
    for row, image in zip(axes, images, strict=True):
        row[0].imshow(read(image, cv2.IMREAD_COLOR)[..., ::-1])
    for number, files in enumerate(columns.values(), 1):
        for row, file in zip(axes, files, strict=True):
            row[number].imshow(colours[read(file, cv2.IMREAD_GRAYSCALE)])
    for axis, title in zip(axes[0], ('image', *columns), strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.axis('off')
    patches = [Patch(color='#' + bytes(colour).hex()) for colour in palette]
    figure.legend(patches, classes, loc='lower center', ncols=6, fontsize=8, frameon=False)
    figure.tight_layout(pad=0.4, rect=(0, 0.55 / figure.get_figheight(), 1, 1))
    save(figure, path)


def by_frequency_figure(
    *,
    classes: Sequence[str],
    shares: Sequence[float],
    values: Mapping[str, Sequence[Sequence[float | None]]],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Draw per-class values of each method against the training frequency of the class.

    Args:
        classes: C names.
        shares: C training frequencies, > 0 for a class to be shown.
        values: method -> per run, C values (None: undefined). Of few classes, which stand side by
            side, points are means over the runs, bars reach from the smallest to the largest. Of
            many classes, at their frequency, the points are the means, and the line is a mean over
            a tenth of the classes around.
        xlabel: what ``shares`` are.
        ylabel: what ``values`` are.
    """
    order = [index for index in np.argsort(shares)[::-1].tolist() if shares[index] > 0]
    figure, axis = plt.subplots(figsize=(8, 4.2), layout='constrained')
    frequencies = np.asarray(shares)[order]
    few = len(order) <= FEW_CLASSES
    places = places_of(frequencies)
    # Methods a little apart, or their bars would hide each other.
    step = min(0.1, 0.6 / len(values))
    for number, (title, runs) in enumerate(values.items()):
        table = np.array(runs, dtype=float)[:, order]  # None becomes nan
        mean = table.mean(axis=0)
        style: dict[str, Any] = dict(color=colour(number, len(values)), lw=1.2)
        if few:
            position = places + step * (number - (len(values) - 1) / 2)
            spread = np.stack([mean - table.min(axis=0), table.max(axis=0) - mean])
            # The mean of equal numbers may lie beside them, by rounding.
            style |= dict(marker='o', markersize=4, capsize=2, yerr=np.maximum(spread, 0))
            axis.errorbar(position, mean, label=title, **style)
        else:
            axis.plot(places, mean, '.', color=style['color'], alpha=0.25, markersize=4)
            axis.plot(places, _mean_around(mean, len(order) // 10), label=title, **style)
    axis.set(xlabel=f'{xlabel} (frequent to rare)', ylabel=ylabel)
    axis.grid(alpha=0.3)
    show_frequencies(axis, frequencies, [classes[index] for index in order])
    figure.legend(loc='outside right center', fontsize=8, frameon=False)
    return figure


def places_of(frequencies: np.ndarray) -> np.ndarray:
    """Return where classes stand: side by side if they are few, or else at their frequencies."""
    return np.arange(len(frequencies)) if len(frequencies) <= FEW_CLASSES else frequencies


def show_frequencies(axis: Any, frequencies: np.ndarray, classes: Sequence[str]) -> None:
    """Write the frequencies of few classes below their places and their names above.

    Of many, which stand at their frequencies, the axis runs from frequent to rare.
    """
    if len(classes) > FEW_CLASSES:
        axis.set_xscale('log')
        axis.invert_xaxis()
        return
    places = places_of(frequencies)
    axis.set_xticks(places, _amounts(frequencies))
    names = axis.secondary_xaxis('top')
    names.set_xticks(places, classes)
    for ticks, side in ((axis, 'right'), (names, 'left')):
        plt.setp(ticks.get_xticklabels(), rotation=35, ha=side, rotation_mode='anchor', size=8)


def _amounts(frequencies: np.ndarray) -> list[str]:
    """Return counts as ``20.1M``, shares of everything as ``2.5%``."""
    shares = frequencies.max(initial=0) <= 1
    counted = EngFormatter(places=1, sep='')
    return [f'{x:.1%}' if shares else counted(x) if x >= 1000 else f'{x:g}' for x in frequencies]


def _mean_around(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean over up to ``width`` values on each side; undefined ones do not count."""
    padded = np.pad(values, width, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1)
    return np.ma.masked_invalid(windows).mean(axis=1).filled(np.nan)


def draw_curves(
    path: str | os.PathLike, panels: Mapping[str, Mapping[str, Sequence[Curve]]]
) -> None:
    """Draw one panel per quantity; in it one colour per method and one line per run.

    Args:
        path: picture to write.
        panels: quantity -> method -> runs, each a list of (iteration, value).
    """
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(5 * len(panels) + 1.5, 3.6),
        squeeze=False,
        layout='constrained',
    )
    for axis, (quantity, methods) in zip(axes[0], panels.items(), strict=True):
        for number, (title, runs) in enumerate(methods.items()):
            for index, run in enumerate(runs):
                steps, values = np.array(run, dtype=float).reshape(-1, 2).T
                label = title if index == 0 else None
                style: dict[str, Any] = dict(color=colour(number, len(methods)), alpha=0.8, lw=1.2)
                axis.plot(steps, values, label=label, **style)
        axis.set(xlabel='iteration', ylabel=quantity)
        axis.grid(alpha=0.3)
    # The panels show the same methods.
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside right center', fontsize=8, frameon=False)
    save(figure, path)


def draw_counts(path: str | os.PathLike, frequency: ClassFrequency) -> None:
    """Draw the counts of the classes by falling number, coloured by group, a panel per kind."""
    kinds = frequency.kinds
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(6 * len(kinds), 4), layout='constrained', squeeze=False
    )
    for panel, by in zip(panels[0], kinds, strict=True):
        counts = frequency.counts(by)
        first = 0
        for shade, (group, members) in zip(
            GROUP_COLOURS, frequency.groups(by).items(), strict=True
        ):
            places = range(first, first + len(members))
            panel.bar(places, counts[members], 1.0, color=shade, label=f'{group} ({len(members)})')
            first += len(members)
        panel.set(yscale='log', xlabel='class, by falling count', ylabel=f'training {by}')
        panel.legend()
    save(figure, path, dpi=100)


def colour(number: int, count: int) -> tuple[float, ...]:
    """Return the colour of a method among ``count``; up to twenty are told apart."""
    return plt.get_cmap('tab10' if count <= 10 else 'tab20')(number)


def read(path: str | os.PathLike, flags: int) -> np.ndarray:
    """Return an image, or raise an error that names the file."""
    image = read_picture(path, flags)
    if image is None:
        raise FileNotFoundError(f'{path}: expected a readable image, got none')
    return image


def save(figure: Figure, path: str | os.PathLike, *, dpi: int = 130) -> None:
    """Write a picture that is complete or absent, and free the figure."""
    with written_aside(path) as unfinished:
        figure.savefig(unfinished, dpi=dpi)
    plt.close(figure)
