"""Markdown tables, and values of several seeds in one cell of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    rows = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + ' |'
        for row in rows
    ]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)


def mean_and_range(values: Sequence[float | None], digits: int = 1) -> str:
    """Return ``mean (min to max)`` over seeds; a dash where no value is known."""
    known = [value for value in values if value is not None]
    if not known:
        return '-'
    mean = f'{fmean(known):.{digits}f}'
    if len(known) == 1:
        return mean
    return f'{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})'


def mean_and_deviation(values: Sequence[float | None], digits: int = 1) -> str:
    """Return ``mean ± standard deviation`` (n - 1) over seeds; a dash where no value is known."""
    known = [value for value in values if value is not None]
    if not known:
        return '-'
    mean = f'{fmean(known):.{digits}f}'
    return f'{mean} ± {stdev(known):.{digits}f}' if len(known) > 1 else mean
