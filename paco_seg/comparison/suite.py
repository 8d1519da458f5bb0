"""What a suite states: a data set, one budget, the systems on it, and how to report them.

Plain data. Nothing here loads PyTorch or MM, so that a command line can list the suites at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from paco_seg.comparison.study import Study, Sweep


@dataclass(frozen=True)
class DemoData:
    """A data set that ``paco-seg demo-data`` writes.

    Args:
        kind: its name there.
        folder: where the configs look for it, relative to the current folder.
        frequencies: JSON file in it with the training frequency of each class.
        entry: entry of that file; None if it is the list itself.
    """

    kind: str
    folder: str
    frequencies: str
    entry: str | None = None


@dataclass(frozen=True)
class Table:
    """The table of a report: a row per system, means over the seeds.

    Args:
        first: header of the first column.
        columns: title -> metric of the test.
        spread: what stands beside the mean: from the smallest to the largest, or the standard
            deviation.
        costs: further columns, keys of :data:`.report.COSTS`.
        digits: title -> digits after the point; 1 by default, 2 for parameters.
    """

    first: str
    columns: Mapping[str, str]
    spread: Literal['range', 'deviation'] = 'range'
    costs: tuple[str, ...] = ()
    digits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelMaps:
    """Picture of some validation scenes, their truth and the predictions of the first seed."""

    file: str
    scenes: int


@dataclass(frozen=True)
class ByFrequency:
    """Picture of a per-class value of the test against the training frequency of the class.

    Args:
        file: name of the picture.
        value: column of ``per_class``.
        ylabel: what it is.
        xlabel: what the frequencies are.
        shares: draw shares instead of counts.
    """

    file: str
    value: str
    ylabel: str
    xlabel: str
    shares: bool = False


@dataclass(frozen=True)
class Curves:
    """Picture of the training loss and of the metric that chooses.

    Args:
        file: name of the picture.
        loss: title of the loss.
        metric: title of the metric.
    """

    file: str
    loss: str
    metric: str


@dataclass(frozen=True)
class Suite:
    """One data set, one budget and the systems on it.

    Args:
        name: of the suite.
        study: systems, search and seeds.
        folder: default folder of the results.
        table: the table that is printed and reported.
        report: text of ``report.md`` with the fields of :func:`.report.report_text`.
        data: what it trains on; None if its program brings its own.
        pictures: of the report.
        search_measure: what chose, in the table of the search.
        preload: modules to import before the first training.
    """

    name: str
    study: Study | Sweep
    folder: str
    table: Table
    report: str
    data: DemoData | None = None
    pictures: tuple[LabelMaps | ByFrequency | Curves, ...] = ()
    search_measure: str = ''
    preload: tuple[str, ...] = ()
