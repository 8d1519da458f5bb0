"""Problems of a data set, collected file by file and printed by kind."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file, or with a set as a whole.

    Args:
        where: file or config key.
        what: what was expected; the same text for the same kind of problem.
        detail: what was found in this file.
        remedy: what to change; ``{value}`` stands for the value that is most often wrong.
        values: values the problem is about, such as labels that are no class.
        certain: False where a sound data set may look the same.
    """

    where: str
    what: str
    detail: str = ''
    remedy: str = ''
    values: tuple[int, ...] = ()
    certain: bool = True

    def __str__(self) -> str:
        remedy = _remedy(self.remedy, self.values[0] if self.values else None)
        return f'{self.where}: {self.what}{self.detail}{remedy}'


@dataclass
class _Group:
    count: int = 0
    members: list[Problem] = field(default_factory=list)
    values: Counter[int] = field(default_factory=Counter)


class ProblemGroups:
    """Problems of the same kind together; memory grows with the kinds, not with the files.

    Args:
        shown: files of one kind that are named one by one, at least one; of more, the first are
            named. None names all.

    Attributes:
        total: number of problems added.
    """

    def __init__(self, shown: int | None = 5) -> None:
        self.shown = shown
        self.total = 0
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(self, problems: Iterable[Problem]) -> None:
        """Count the problems in."""
        for problem in problems:
            self.total += 1
            group = self._groups.setdefault((problem.what, problem.remedy), _Group())
            group.count += 1
            group.values.update(problem.values)
            group.members += [problem][: self._room(group)]

    def change_remedy(self, old: str, new: str) -> None:
        """Advise otherwise about problems that are counted: one file tells less than all do."""
        groups = list(self._groups.values())
        self._groups = {}
        for group in groups:
            group.members = [
                replace(problem, remedy=new) if problem.remedy == old else problem
                for problem in group.members
            ]
            first = group.members[0]
            same = self._groups.setdefault((first.what, first.remedy), _Group())
            same.count += group.count
            same.values.update(group.values)
            same.members += group.members[: self._room(same)]

    def _room(self, group: _Group) -> int | None:
        """Return how many more files of a kind are named; None for all."""
        return None if self.shown is None else max(self.shown - len(group.members), 0)

    def lines(self) -> Iterator[str]:
        """Yield one line per problem of a rare kind, one line for all of a frequent kind."""
        for (what, remedy), group in self._groups.items():
            if group.count == len(group.members):
                yield from map(str, group.members)
                continue
            # Counter.most_common orders ties by arrival
            values = sorted(group.values, key=lambda value: (-group.values[value], value))
            found = ', '.join(f'{value} (in {group.values[value]})' for value in values[:10])
            if len(values) > 10:
                found += f' and {len(values) - 10} other values'
            found = f', got {found}' if found else group.members[0].detail
            advice = _remedy(remedy, values[0] if values else None)
            first = ', '.join(problem.where for problem in group.members[:3])
            yield f'{group.count} files: {what}{found}{advice}. First: {first}'


def warn_or_refuse(problems: Iterable[Problem], closing: str) -> None:
    """Warn of what a sound data set may look like as well, and refuse what is certainly wrong.

    Args:
        problems: what a look at some files has found.
        closing: last line of the error: how much was looked at, and how to see all.

    Raises:
        ValueError: a problem is certain; one line for each kind, then ``closing``.
    """
    certain, uncertain = ProblemGroups(), ProblemGroups()
    for problem in problems:
        (certain if problem.certain else uncertain).add([problem])
    for line in uncertain.lines():
        warnings.warn(line, stacklevel=3)
    if certain.total:
        raise ValueError('\n'.join([*certain.lines(), closing]))


def _remedy(text: str, value: int | None) -> str:
    return f'. {text.replace("{value}", str(value))}' if text else ''
