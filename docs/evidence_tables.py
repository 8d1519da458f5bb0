"""Tables of the comparisons on photographs, for docs/evidence.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from paco_seg.cli.swap import systems_of
from paco_seg.comparison.evidence import (
    differences_table,
    evidence_table,
    groups_table,
    variants_table,
)
from paco_seg.engine.variants import variant_name

EVIDENCE = Path(__file__).parents[1] / 'benchmarks' / 'results' / 'evidence'

# Of each training of the tables: half of the usual number, for they take long on a CPU.
VALIDATIONS = 4
# A third of the 3072 places of a crop on CamVid: all of them would leave nothing to select.
PIXELS = dict(loss_weight=0.1, num_pixels=1024)
LIGHT = variant_name('gpaco', PIXELS)
LIGHT_SAMPLED = variant_name(
    'rare-class-sampling+gpaco', {f'gpaco.{key}': value for key, value in PIXELS.items()}
)
# A question of docs/evidence.md -> task -> the differences that answer it.
QUESTIONS: dict[str, dict[str, list[tuple[str, str]]]] = {
    'gain': {
        'mmseg': [
            ('gpaco', name)
            for name in (
                'ce',
                'log-prior-test',
                'log-prior',
                'class-weighted-ce',
                'rare-class-sampling',
            )
        ]
        + [
            (LIGHT, name)
            for name in ('ce', 'gpaco', 'class-weighted-ce', 'dice', 'rare-class-sampling')
        ],
        'mmpretrain': [
            ('gpaco', name)
            for name in (
                'ce',
                'log-prior-test',
                'balanced-softmax',
                'bcl',
                'proco',
                'paco',
                'class-weighted-ce',
                'class-aware-sampling',
                'crt',
                'reslt',
                'supcon-joint',
                'hybrid-psc',
            )
        ],
    },
    'adds': {
        'mmseg': [
            ('gpaco+log-prior', 'log-prior'),
            ('gpaco+region-rebalance', 'region-rebalance'),
            ('rare-class-sampling+gpaco', 'rare-class-sampling'),
            (LIGHT_SAMPLED, 'rare-class-sampling'),
            ('rare-class-sampling+region-rebalance', 'rare-class-sampling'),
            ('rare-class-sampling+region-rebalance', 'region-rebalance'),
        ],
        'mmpretrain': [('gpaco', 'balanced-softmax'), ('paco', 'balanced-softmax')],
    },
}
# Comparisons of docs/evidence.md: folder of the JSON -> title, task.
EVIDENCE_SETS = {
    'camvid': ('CamVid', 'mmseg'),
    'cifar100-lt-ir100': ('CIFAR-100-LT, ratio 100', 'mmpretrain'),
}
EVIDENCE_PARTS = {
    'cifar100-c10-lt-ir100': ('10 classes, ratio 100', 'mmpretrain'),
    'cifar100-c30-lt-ir100': ('30 classes, ratio 100', 'mmpretrain'),
    'cifar100-lt-ir100': ('100 classes, ratio 100', 'mmpretrain'),
    'cifar100-c10-lt-ir10': ('10 classes, ratio 10', 'mmpretrain'),
    'cifar100-c30-lt-ir10': ('30 classes, ratio 10', 'mmpretrain'),
    'cifar100-lt-ir10': ('100 classes, ratio 10', 'mmpretrain'),
}


def question_table(question: str) -> str:
    """Return the differences that answer a question, on both sets."""
    tables = []
    for folder, (title, task) in EVIDENCE_SETS.items():
        pairs = QUESTIONS[question][task]
        tables.append(differences_table({title: EVIDENCE / folder}, pairs))
    return '\n\n'.join(tables)


def evidence_of(folder: str) -> str:
    """Return the table of a comparison on photographs, or what it lacks."""
    systems = systems_of(EVIDENCE_SETS[folder][1])
    return evidence_table(EVIDENCE / folder, [*systems, *JOINT_SYSTEMS[EVIDENCE_SETS[folder][1]]])


def evidence_command(folder: str) -> str:
    """Return the command that repeats the table of a comparison, row by row."""
    results = json.loads((EVIDENCE / folder / 'results.json').read_text())
    search = [] if results['search_iters'] else ['--search none']
    names = wrap(
        ' '.join(system['name'] for system in results['systems']),
        width=92,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return _command(results['config'], folder, [*search, f'--validations {VALIDATIONS}'], names)


def _command(config: str, folder: str, options: Sequence[str], names: Sequence[str]) -> str:
    """Return the command of a comparison; each line of names stands on its own."""
    lines = [
        f'paco-seg compare {config}',
        ' '.join([f'    --out work_dirs/evidence/{folder}', *options, '--systems']),
        *(f'    {line}' for line in names),
    ]
    return '```\n' + ' \\\n'.join(lines) + '\n```'


# Combinations that a complete table has beside all systems.
JOINT_SYSTEMS = {
    'mmseg': (
        'gpaco+log-prior',
        'gpaco+region-rebalance',
        'rare-class-sampling+gpaco',
        'rare-class-sampling+region-rebalance',
    ),
    'mmpretrain': (),
}


def parts_table() -> str:
    """Return how the answer changes with the number of classes and the imbalance."""
    folders = {title: EVIDENCE / folder for folder, (title, _) in EVIDENCE_PARTS.items()}
    pairs = [('gpaco', 'ce'), ('balanced-softmax', 'ce'), ('gpaco', 'balanced-softmax')]
    return differences_table(folders, pairs)


# Iterations of a training on CamVid -> folder of the JSON.
SCHEDULES = {800: 'camvid', 1600: 'camvid-1600i'}
SCHEDULED = (
    'gpaco',
    LIGHT,
    'dice',
    'region-rebalance',
    'rare-class-sampling',
    'rare-class-sampling+region-rebalance',
)


def schedule_table() -> str:
    """Return what systems gain over cross entropy after trainings of different length."""
    rows = [(f'`{name}`', name) for name in SCHEDULED]
    return '\n\n'.join(
        variants_table(EVIDENCE / folder, [(f'ce, {iters} iterations', 'ce', rows)])
        for iters, folder in SCHEDULES.items()
    )


def schedule_command() -> str:
    """Return the command of the longer trainings."""
    iters, folder = list(SCHEDULES.items())[-1]
    options = [f'--iters {iters}', '--search none', f'--validations {VALIDATIONS}']
    return _command(f'configs/evidence/{CAMVID}', folder, options, ['ce', *SCHEDULED])


# Set -> folder of its trainings whose settings a search has chosen.
SEARCHED = {'camvid': 'camvid-search', 'cifar100-lt-ir100': 'cifar100-lt-ir100-search'}


def search_table(folder: str) -> str:
    """Return what systems gain over cross entropy by default, and all with chosen settings."""
    results = json.loads((EVIDENCE / SEARCHED[folder] / 'results.json').read_text())
    chosen = {system['name']: _chosen_settings(system) for system in results['systems']}
    others = [name for name in chosen if name != 'ce']
    tables = [
        (folder, 'ce, defaults', [(f'`{name}`', name) for name in others]),
        (
            SEARCHED[folder],
            f'ce, {chosen["ce"]}',
            [(f'`{name}`, {chosen[name]}', name) for name in others],
        ),
    ]
    parts = [variants_table(EVIDENCE / data, [(title, 'ce', rows)]) for data, title, rows in tables]
    parts += [
        'With the chosen settings, groups and training time, and the data that choose at equal '
        'time:',
        groups_table(EVIDENCE / SEARCHED[folder]),
    ]
    return '\n\n'.join(parts)


def search_command(folder: str) -> str:
    """Return the command that repeats the search on a set."""
    return evidence_command(SEARCHED[folder])


def _chosen_settings(system: Mapping[str, Any]) -> str:
    """Return the settings that a search has chosen for a system, in words."""
    texts = {entry['label']: entry['text'] for entry in system['search']}
    return texts.get(system['chosen'], 'defaults')


Settings = Mapping[str, Any]


class Reference(NamedTuple):
    """A system, and what is changed about it, one row each.

    Args:
        system: name of a system or combination.
        settings: of the reference; a row has them but for what it changes.
        rows: the changes.
        prefix: ahead of every setting, for a combination.
    """

    system: str
    settings: Settings
    rows: Sequence[Settings]
    prefix: str = ''

    def name(self, changed: Settings | None = None) -> str:
        """Return the name of the reference, or of a row."""
        settings = {**self.settings, **(changed or {})}
        return variant_name(
            self.system, {f'{self.prefix}{key}': value for key, value in settings.items()}
        )


class SettingsStudy(NamedTuple):
    """Rows of settings on one set.

    Args:
        title: of the set.
        config: file below configs/evidence.
        references: with their rows.
    """

    title: str
    config: str
    references: Sequence[Reference]

    def names(self) -> list[str]:
        """List the systems of the comparison."""
        return [
            reference.name(changed)
            for reference in self.references
            for changed in (None, *reference.rows)
        ]


CAMVID = 'ce-fpn_lite0-in1k-pre_1xb4-800i_camvid-192x256.py'
CIFAR = 'ce_lite0-in1k-pre_1xb64-1k_cifar100-lt-ir100-48x48.py'
BALANCED = dict(pixel_selection='class_balanced')
OPTIONS: tuple[Settings, ...] = (
    BALANCED,
    dict(BALANCED, importance_weights=True),
    dict(region_keys=True),
    dict(loss_weight='auto', gradient_ratio=0.1),
    dict(loss_weight='auto', gradient_ratio=1.0),
)
# Folder of the JSON -> what stands in it.
SETTINGS_STUDIES = {
    'camvid-settings': SettingsStudy(
        'CamVid',
        CAMVID,
        [
            Reference(
                'gpaco',
                PIXELS,
                [
                    *(dict(alpha=alpha) for alpha in (0.001, 0.01, 0.1)),
                    *(dict(temperature=temperature) for temperature in (0.03, 0.2)),
                    *(dict(num_pixels=number) for number in (256, -1)),
                    *(dict(loss_weight=weight) for weight in (0.03, 0.3, 1.0)),
                    dict(loss_weight=1.0, warmup_iters=500),
                    dict(scope='batch'),
                    BALANCED,
                    dict(pixel_selection='hard'),
                    dict(queue_size=4096),
                ],
            )
        ],
    ),
    'cifar100-lt-ir100-settings': SettingsStudy(
        'CIFAR-100-LT, ratio 100',
        CIFAR,
        [
            Reference(
                'gpaco',
                {},
                [
                    *(dict(alpha=alpha) for alpha in (0.005, 0.05, 0.5)),
                    *(dict(temperature=temperature) for temperature in (0.05, 0.1, 0.5)),
                    dict(loss_weight=0.1),  # of the only loss, which AdamW hardly sees
                    *(dict(queue_size=size) for size in (256, 2048)),
                ],
            )
        ],
    ),
    'camvid-options': SettingsStudy(
        'CamVid',
        CAMVID,
        [
            Reference('gpaco', PIXELS, OPTIONS),
            # Level with the log prior, which is below cross entropy here: no option mends that.
            Reference('gpaco+log-prior', PIXELS, [dict(class_prior=False)], prefix='gpaco.'),
        ],
    ),
}


def settings_table(folder: str) -> str:
    """Return the rows of a study of settings."""
    study = SETTINGS_STUDIES[folder]
    groups = [
        (
            f'{reference.system} ({words(reference.settings) or "its defaults"})',
            reference.name(),
            [(words(changed), reference.name(changed)) for changed in reference.rows],
        )
        for reference in study.references
    ]
    return variants_table(EVIDENCE / folder, groups)


def words(settings: Settings) -> str:
    """Return settings for a cell."""
    return ', '.join(f'`{key}` {value}' for key, value in settings.items())


def settings_command(folder: str) -> str:
    """Return the command of a study of settings."""
    study = SETTINGS_STUDIES[folder]
    options = ['--search none', f'--validations {VALIDATIONS}']
    return _command(f'configs/evidence/{study.config}', folder, options, study.names())
