"""Training systems: what turns any stock config into a way of training, and what it needs.

A task lists its systems in ``paco_seg/seg/systems`` and ``paco_seg/cls/systems`` (``SYSTEMS``), one
file each. Swap, compare, the tables of the docs and the tests read these two lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmengine.config import Config

from paco_seg.core.frequency import ClassFrequency, load_class_frequency
from paco_seg.engine.model_changes import (
    ModelChange,
    apply_changes,
    merged_changes,
    render_config,
)

# config, settings, inputs -> changes
Changes = Callable[[Config, Mapping[str, Any], 'SystemInputs'], list[ModelChange]]
JOINT = '+'  # between the names of a combination
# Stands for the weights of a source that is not trained yet: no training starts from it.
MISSING_WEIGHTS = 'WEIGHTS-OF-{}.pth'


@dataclass(frozen=True)
class SystemInputs:
    """What a system gets beside the config.

    Args:
        frequency_file: JSON file of the class frequencies of the training set, as the written
            config is to name it.
        frequency: its content, where the file cannot be read under that name.
        weights: checkpoint of the system that :attr:`TrainingSystem.source` names.
        partners: settings of the systems it is combined with, by their names.
    """

    frequency_file: str | None = None
    frequency: ClassFrequency | None = None
    weights: str | None = None
    partners: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def class_frequency(self, key: str) -> ClassFrequency:
        """Return the class frequencies.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: there are none, or the file is something else; names ``key``.
        """
        if self.frequency is not None:
            return self.frequency
        if self.frequency_file is None:
            raise no_frequencies(key)
        return load_class_frequency(self.frequency_file, key)


@dataclass(frozen=True)
class Needs:
    """What a system needs beside a config and its data.

    Args:
        class_frequencies: ``SystemInputs.frequency_file``; it may not be None then.
        takes_frequencies: it uses class frequencies where they are known, and does without.
        two_views: it writes a pipeline that yields two views of each image.
        three_views: it writes a pipeline that yields three views of each image.
        class_balanced_sampler: it replaces the sampler of the training loader.
        pretrained_transformer: it serves vision transformers alone, with pretrained weights.
    """

    class_frequencies: bool = False
    takes_frequencies: bool = False
    two_views: bool = False
    three_views: bool = False
    class_balanced_sampler: bool = False
    pretrained_transformer: bool = False

    @property
    def views(self) -> int:
        """Views of each image in the pipeline."""
        return 3 if self.three_views else 2 if self.two_views else 1


@dataclass(frozen=True)
class TrainingSystem:
    """One way to train, on any config that it does not refuse.

    Args:
        name: hyphenated lower-case words; in commands, results and folder names.
        title: name in tables and pictures.
        paper: authors, venue and arXiv number, or '' where there is none.
        summary: one line: what it changes.
        change: (config, settings, inputs) -> changes; called with complete, known settings. Raises
            :func:`refusal` for a config that it cannot serve. Call :meth:`changes` instead.
        imports: ``custom_imports`` of the changed config.
        hooks: registered types of ``custom_hooks`` that it needs.
        settings: setting -> default, of those that the system knows itself.
        passes_on: further settings are allowed; they go to its loss or branch, which checks them.
        search: setting -> values worth searching; none = nothing of its own to search.
        needs: what it needs beside config and data.
        source: name of the system whose final weights it starts from, or tests.
        source_key: config key that takes these weights in a training; :attr:`change` writes
            ``inputs.weights`` there if they are given.
        trains: False: it changes the prediction alone, and tests the weights of ``source``.
        inference: what it costs at inference, in words.
        acts_on: what it changes or corrects, in words; says why two systems do not combine.
        combines_with: names of systems it can be combined with as ``a+b``; both list each other.
        variant_of: the system that it is with settings of its own, if it is one.
    """

    name: str
    title: str
    paper: str
    summary: str
    change: Changes
    imports: tuple[str, ...]
    hooks: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    passes_on: bool = False
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    needs: Needs = Needs()
    source: str | None = None
    source_key: str = 'load_from'
    trains: bool = True
    inference: str = 'none'
    acts_on: str = ''
    combines_with: tuple[str, ...] = ()
    variant_of: TrainingSystem | None = None

    def changes(
        self,
        cfg: Config,
        settings: Mapping[str, Any] | None = None,
        inputs: SystemInputs | None = None,
    ) -> list[ModelChange]:
        """List what the system changes in a config; none where it is that system already.

        Args:
            cfg: parsed config; it stays as it is.
            settings: those that differ from the defaults.
            inputs: class frequencies and weights, as far as the system needs them.

        Raises:
            ValueError: a setting is unknown, an input is missing, or the config cannot be served;
                names the key, the value and the reason.
        """
        inputs = inputs or SystemInputs()
        given = dict(settings or {})
        unknown = [key for key in given if key not in self.settings]
        if unknown and not self.passes_on:
            raise refusal(
                f'{self.name}.{unknown[0]}',
                f'a setting of {tuple(self.settings)}',
                given[unknown[0]],
                'Leave it out',
            )
        # A setting may ask a branch that is about a prior to do without, on purpose.
        known = inputs.frequency_file is not None or 'frequency_file' in given
        if self.needs.class_frequencies and not known:
            raise no_frequencies(f'{self.name}.frequency_file')
        return self.change(cfg, {**self.settings, **given}, inputs)

    def apply(
        self,
        cfg: Config,
        settings: Mapping[str, Any] | None = None,
        inputs: SystemInputs | None = None,
    ) -> Config:
        """Return a changed copy of a config; arguments and errors as :meth:`changes`."""
        return apply_changes(cfg, self.changes(cfg, settings, inputs), self.imports, self.hooks)

    def render(
        self,
        base: str,
        cfg: Config,
        settings: Mapping[str, Any] | None = None,
        inputs: SystemInputs | None = None,
    ) -> str:
        """Return the text of a config that inherits ``base`` (parsed: ``cfg``) and is the system.

        Further arguments and errors as :meth:`changes`.
        """
        changes = self.changes(cfg, settings, inputs)
        return render_config(base, cfg, changes, self.imports, self.hooks)


class Systems(Mapping[str, TrainingSystem]):
    """The systems of a task, in the order of its tables.

    Args:
        systems: their names differ; ``source`` and ``combines_with`` name others of them.

    Raises:
        ValueError: they do not fit together; names the system.
    """

    def __init__(self, systems: Sequence[TrainingSystem]) -> None:
        self._systems = {system.name: system for system in systems}
        if len(self._systems) != len(systems):
            raise ValueError(f'systems: expected different names, got {[s.name for s in systems]}')
        for system in systems:
            for other in system.combines_with:
                if other in self and system.name not in self[other].combines_with:
                    raise ValueError(
                        f'{other}.combines_with: expected {system.name!r} in it, for that lists '
                        f'{other!r}, got {self[other].combines_with}'
                    )
            named = (*system.combines_with, *([system.source] if system.source else []))
            for other in named:
                if other not in self:
                    raise ValueError(f'{system.name}: expected a listed system, got {other!r}')

    def __getitem__(self, name: str) -> TrainingSystem:
        """Return a single system; :meth:`resolve` knows combinations and has a better error."""
        return self._systems[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._systems)

    def __len__(self) -> int:
        return len(self._systems)

    def combinations(self) -> list[str]:
        """List the names of all pairs that combine."""
        names = list(self)
        return [
            f'{first}{JOINT}{second}'
            for index, first in enumerate(names)
            for second in names[index + 1 :]
            if second in self[first].combines_with
        ]

    def resolve(self, name: str) -> TrainingSystem:
        """Return the system ``a``, or the combination ``a+b``.

        Raises:
            ValueError: a name is unknown (lists the known ones), or two do not combine.
        """
        parts = name.split(JOINT)
        for part in parts:
            if part not in self:
                raise ValueError(
                    f'system: expected one of {", ".join(self)} or a combination such as '
                    f'{(self.combinations() or ["a+b"])[0]}, got {part!r}. Choose a listed one'
                )
        if len(set(parts)) < len(parts):
            raise ValueError(f'system: expected different systems, got {name!r}. Name each once')
        parts = [known for known in self if known in parts]
        systems = [self[part] for part in parts]
        for index, first in enumerate(systems):
            for second in systems[index + 1 :]:
                if second.name not in first.combines_with:
                    raise ValueError(
                        f'system: expected systems that combine, got {name!r}. '
                        f'{_conflict(first, second)}{_partners(first)}; {_partners(second)}'
                    )
        return systems[0] if len(systems) == 1 else combined(systems)


def _conflict(first: TrainingSystem, second: TrainingSystem) -> str:
    if first.acts_on and first.acts_on == second.acts_on:
        return f'Both act on {first.acts_on}. '
    return ''


def _partners(system: TrainingSystem) -> str:
    return f'{system.name} combines with {", ".join(system.combines_with) or "no other system"}'


def combined(systems: Sequence[TrainingSystem]) -> TrainingSystem:
    """Return the system that makes the changes of all, each in a config with those before.

    A setting ``NAME.key`` goes to the system of that name, a plain ``key`` to every system that
    knows it. What is searched is that of the first system that searches anything, so that a
    combination gets no larger search than its parts.
    """
    names = [system.name for system in systems]

    def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
        changes: list[ModelChange] = []
        own = {system.name: _own_settings(system, systems, settings) for system in systems}
        for system in systems:
            partners = {s.name: {**s.settings, **own[s.name]} for s in systems if s != system}
            changed = apply_changes(cfg, merged_changes(changes), (), ())
            changes += system.changes(changed, own[system.name], replace(inputs, partners=partners))
        return merged_changes(changes)

    def common(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item for system in systems for item in getattr(system, name)))

    searching = next((system for system in systems if system.search), systems[0])
    costs = [system.inference for system in systems if system.inference != 'none']
    return TrainingSystem(
        name=JOINT.join(names),
        title=' + '.join(system.title for system in systems),
        paper='; '.join(system.paper for system in systems if system.paper),
        summary='; '.join(system.summary for system in systems),
        change=change,
        imports=common('imports'),
        hooks=common('hooks'),
        passes_on=True,
        search={f'{searching.name}.{key}': values for key, values in searching.search.items()},
        needs=Needs(
            *(
                any(getattr(system.needs, name) for system in systems)
                for name in Needs.__dataclass_fields__
            )
        ),
        source=next((system.source for system in systems if system.source), None),
        source_key=next((s.source_key for s in systems if s.source), 'load_from'),
        trains=any(system.trains for system in systems),
        inference='; '.join(costs) or 'none',
    )


def _own_settings(
    system: TrainingSystem, systems: Sequence[TrainingSystem], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Pick the settings of one system of a combination.

    Raises:
        ValueError: a setting is that of no system.
    """
    own: dict[str, Any] = {}
    for key, value in settings.items():
        name, dot, rest = key.partition('.')
        if dot and name == system.name:
            own[rest] = value
        elif key in system.settings:
            others = [s.name for s in systems if key in s.search and key not in s.settings]
            if others:  # it would reach one of them alone
                raise refusal(
                    key,
                    f'{system.name}.{key} or {others[0]}.{key}',
                    value,
                    'Both systems have one: put the name in front of it',
                )
            own[key] = value
        elif not any((dot and name == s.name) or key in s.settings for s in systems):
            raise refusal(
                key,
                f"a setting such as '{systems[0].name}.SETTING'",
                value,
                'Put the name of its system in front of it',
            )
    return own


def no_frequencies(key: str) -> ValueError:
    """Return the error about class frequencies that are missing."""
    return refusal(
        key,
        'the class frequencies of the training set',
        None,
        'Write them with `paco-seg statistics CONFIG`',
    )


def refusal(key: str, expected: str, got: Any, reason: str) -> ValueError:
    """Return the error about a config that a system cannot serve.

    Args:
        key: config key or setting.
        expected: what the system could have served.
        got: value of the key.
        reason: why, and what to change; no final period.
    """
    return ValueError(f'{key}: expected {expected}, got {got!r}. {reason}')
