"""Tables of the comparisons on photographs, for docs/evidence.md."""

from __future__ import annotations

from pathlib import Path

from paco_seg.cli.swap import systems_of
from paco_seg.comparison.evidence import differences_table, evidence_table

EVIDENCE = Path(__file__).parents[1] / 'benchmarks' / 'results' / 'evidence'

# A question of docs/evidence.md -> task -> the differences that answer it.
QUESTIONS: dict[str, dict[str, list[tuple[str, str]]]] = {
    'gain': {
        'mmseg': [
            ('gpaco', name)
            for name in ('ce', 'log-prior', 'class-weighted-ce', 'rare-class-sampling')
        ],
        'mmpretrain': [
            ('gpaco', name)
            for name in ('ce', 'balanced-softmax', 'class-weighted-ce', 'class-aware-sampling')
        ],
    },
    'adds': {
        'mmseg': [
            ('gpaco+log-prior', 'log-prior'),
            ('gpaco+region-rebalance', 'region-rebalance'),
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


# Combinations that a complete table has beside all systems.
JOINT_SYSTEMS = {'mmseg': ('gpaco+log-prior', 'gpaco+region-rebalance'), 'mmpretrain': ()}


def parts_table() -> str:
    """Return how the answer changes with the number of classes and the imbalance."""
    folders = {title: EVIDENCE / folder for folder, (title, _) in EVIDENCE_PARTS.items()}
    pairs = [('gpaco', 'ce'), ('balanced-softmax', 'ce'), ('gpaco', 'balanced-softmax')]
    return differences_table(folders, pairs)
