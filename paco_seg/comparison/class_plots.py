"""Pictures of a trained model with the names of its classes, from two classes to hundreds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.lines import Line2D

from paco_seg.comparison.gallery import palette_of
from paco_seg.comparison.long_tail import MARKERS
from paco_seg.comparison.plots import GROUP_COLOURS, colour, save

NAMED = 300  # names on one axis; of more classes some have none
NUMBERED = 20  # classes up to which a matrix has numbers in its cells
_NAME_INCHES = 0.115  # room of a name of 6 points
_LABEL_PIXELS = np.array([52, 13])  # room of a name among the points, at 100 pixels per inch

Array = npt.NDArray[Any]


def draw_matrix(
    path: str | os.PathLike[str],
    values: Array,
    *,
    classes: Sequence[str],
    title: str,
    labels: tuple[str, str],
    limits: tuple[float, float],
    cmap: str,
    form: str,
) -> None:
    """Draw a class by class matrix, with the names on both axes.

    Args:
        path: picture to write.
        values: (C, C).
        classes: C names in the order of rows and columns.
        title: of the picture.
        labels: of the rows and of the columns.
        limits: of the colours.
        cmap: of Matplotlib.
        form: of the numbers in the cells, such as ``'.0f'``; there are some up to
            :data:`NUMBERED` classes.
    """
    number = len(classes)
    small = number > 40
    side = min(number, NAMED) * (_NAME_INCHES if small else 0.3)
    figure, axis = plt.subplots(figsize=(side + 2.6, side + 2.2), layout='constrained')
    image = axis.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1])
    ticks = range(0, number, -(-number // NAMED))
    size = 6 if small else 8
    names = [_short(classes[index]) for index in ticks]
    axis.set_xticks(list(ticks), names, rotation=90, fontsize=size)
    axis.set_yticks(list(ticks), names, fontsize=size)
    axis.set_ylabel(labels[0])
    axis.set_xlabel(labels[1])
    axis.set_title(title, fontsize=9, wrap=True)
    figure.colorbar(image, ax=axis, fraction=0.04, pad=0.02)
    if number <= NUMBERED:
        middle, half = np.mean(limits), (limits[1] - limits[0]) / 2
        for (row, column), value in np.ndenumerate(values):
            written = f'{value:{form}}'
            if np.isfinite(value) and float(written) != 0:
                # Both ends of a diverging map are dark, but only the upper end of the other.
                away = (value - middle) / half
                dark = abs(away) > 0.6 if limits[0] < 0 else away > 0.2
                text = 'white' if dark else 'black'
                axis.text(column, row, written, ha='center', va='center', fontsize=6, color=text)
    save(figure, path)


def draw_gain(
    path: str | os.PathLike[str],
    gains: Mapping[str, Array],
    *,
    classes: Sequence[str],
    groups: Mapping[str, Sequence[int]],
    xlabel: str,
) -> None:
    """Draw a line per class with what each run gains over the first, frequent classes on top.

    Args:
        path: picture to write.
        gains: name of a run -> (C,), NaN where it is unknown.
        classes: C names.
        groups: name -> class indices by falling frequency; empty: the order of the labels.
        xlabel: what the gains are.
    """
    table = np.stack(list(gains.values()))
    members = {name: list(indices) for name, indices in groups.items() if len(indices)}
    members = members or {'': list(range(len(classes)))}
    order = [index for indices in members.values() for index in indices]
    left_out = len(order) - NAMED
    if left_out > 0:
        size = np.where(np.isfinite(table), np.abs(table), -1).max(axis=0)
        kept = set(np.argsort(-size, kind='stable')[:NAMED].tolist())
        order = [index for index in order if index in kept]
    height = len(order) * (_NAME_INCHES if len(order) > 40 else 0.2)
    figure, axis = plt.subplots(figsize=(7.5, height + 1.6), layout='constrained')
    place = {index: number for number, index in enumerate(order)}
    axis.axvline(0, color='black', lw=0.8)
    start = 0
    for (name, indices), shade in zip(members.items(), GROUP_COLOURS, strict=False):
        shown = [index for index in indices if index in place]
        if not shown:
            continue
        axis.axhspan(start - 0.5, start + len(shown) - 0.5, color=shade, alpha=0.08, lw=0)
        if name:
            middle = start + (len(shown) - 1) / 2
            side = axis.get_yaxis_transform()
            axis.text(1.01, middle, name, transform=side, rotation=270, va='center', color=shade)
        start += len(shown)
    for number, (name, values) in enumerate(gains.items()):
        style: dict[str, Any] = dict(color=colour(number, len(gains)))
        if len(gains) == 1:
            axis.barh(range(len(order)), np.nan_to_num(values[order]), height=0.7, **style)
        axis.plot(
            values[order],
            range(len(order)),
            MARKERS[number % len(MARKERS)],
            markersize=3.5,
            label=name,
            **style,
        )
    axis.set_yticks(
        range(len(order)),
        [_short(classes[index]) for index in order],
        fontsize=6 if len(order) > 40 else 8,
    )
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.set_xlabel(xlabel)
    if left_out > 0:
        axis.set_title(f'the {NAMED} classes with the largest differences', fontsize=9)
    axis.grid(axis='x', alpha=0.3)
    figure.legend(loc='outside upper center', ncols=min(4, len(gains)), fontsize=8, frameon=False)
    save(figure, path)


def draw_points(
    path: str | os.PathLike[str],
    points: Array,
    labels: Array,
    *,
    classes: Sequence[str],
    centers: Array,
    title: str,
) -> None:
    """Draw samples in the colours and shapes of their classes, with names among them.

    A name that would cover another one is left to the legend, which has all of them.

    Args:
        path: picture to write.
        points: (N, 2).
        labels: (N,) class indices.
        classes: C names.
        centers: (C, 2), the place of each class center, drawn in the colour of the class.
        title: of the picture.
    """
    present = np.unique(labels).tolist()
    colours = palette_of(len(classes)) / 255
    columns = min(len(present), 6)
    rows = -(-len(present) // columns)
    figure, axis = plt.subplots(figsize=(10, 7.6 + 0.155 * rows), dpi=100, layout='constrained')
    handles = []
    for number, label in enumerate(present):
        style: dict[str, Any] = dict(color=colours[label], marker=MARKERS[number % len(MARKERS)])
        own = points[labels == label]
        axis.scatter(own[:, 0], own[:, 1], s=11, alpha=0.65, linewidths=0, **style)
        handles.append(Line2D([], [], linestyle='', markersize=5, label=classes[label], **style))
    mark: dict[str, Any] = dict(marker='X', linewidths=0.8, edgecolors='black')
    axis.scatter(centers[:, 0], centers[:, 1], s=70, c=colours, zorder=3, **mark)
    named = Line2D([], [], linestyle='', marker='X', mfc='white', mec='black', label='center')
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=9)
    axis.autoscale_view()
    figure.legend(
        handles=[*handles, named],
        loc='outside lower center',
        ncols=columns,
        fontsize=7,
        frameon=False,
        columnspacing=1.0,
        handletextpad=0.2,
    )
    figure.canvas.draw()  # the axis has its size now
    placed: list[Array] = []
    for label in present:
        own = points[labels == label]
        # A point of the class: their mean may lie in another one.
        place = own[np.square(own - np.median(own, axis=0)).sum(axis=1).argmin()]
        pixel = axis.transData.transform(place)
        if any((np.abs(pixel - other) < _LABEL_PIXELS).all() for other in placed):
            continue
        placed.append(pixel)
        axis.annotate(
            _short(classes[label]),
            place,
            ha='center',
            va='center',
            fontsize=7,
            zorder=4,
            bbox=dict(boxstyle='round,pad=0.1', fc='white', ec='none', alpha=0.75),
        )
    save(figure, path)


def _short(name: str) -> str:
    """Cut a name that would leave the axis no room (ADE20K: a class has up to nine synonyms)."""
    return name if len(name) <= 24 else f'{name[:22]}...'
