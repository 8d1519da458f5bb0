"""Results of a comparison from made-up runs: nothing is trained."""

import numpy as np

from paco_seg.comparison.candidates import Candidate
from paco_seg.comparison.user_results import facts_of, results_of
from paco_seg.comparison.user_study import SystemResult
from paco_seg.core.frequency import ClassFrequency
from paco_seg.core.grouping import group_by_rule
from paco_seg.engine.systems import TrainingSystem

FREQUENCY = ClassFrequency(('sky', 'road', 'car'), (9, 5, 2), (900, 90, 1), 10)


def system(name, partners=(), **settings):
    return TrainingSystem(
        name, name.upper(), '', '', lambda *_: [], (), combines_with=partners, **settings
    )


def result(one, values, *, seconds=10.0, curve=(1.0, 1.0), search=(), chosen=None):
    found = SystemResult(one, list(search), chosen or Candidate())
    for seed, value in enumerate(values):
        matrix = np.array([[8, 2, 0], [1, 4, 0], [1, 0, 1 + seed]])
        found.runs[seed] = dict(
            confusion=matrix.tolist(),
            test=dict(metrics=dict(mIoU=value, aAcc=90.0)),
            validation=[
                dict(step=10 * (i + 1), mIoU=value * share) for i, share in enumerate(curve)
            ],
            loss=[[10, 1.0]],
            train_seconds=seconds + seed,
            peak_memory_mib=100.0 * (seed + 1),
            batch_seconds=0.5,
            parameters=7,
            commit='abc',
        )
        found.folders[seed] = f'{one.name}/seed_{seed}'
    return found


def results(*found, failed=(), refused=(), frequency=FREQUENCY, rule='rank'):
    grouping = group_by_rule(frequency, rule)
    facts = facts_of(
        measure='IoU',
        metric='mIoU',
        baseline=found[0].system.name,
        frequency=frequency,
        grouping=grouping,
        config='c.py',
        seeds=[0, 1, 2],
        iters=20,
        search_iters=4,
        search_data='the data of val_dataloader',
        reported='the data of test_dataloader',
        set_aside=0,
    )
    return results_of(found, facts, failed=failed, refused=refused, grouping=grouping)


CE = result(system('ce'), (50.0, 51.0, 49.0))
UP = result(system('up', ('two',)), (60.0, 61.1, 58.9), seconds=20.0, curve=(0.4, 0.8, 1.0))
TWO = result(system('two', ('up',)), (59.0, 60.0, 58.2))
NOISY = result(system('noisy'), (80.0, 30.0, 55.0))
LESS_NOISY = result(system('less'), (52.0, 51.5, 53.0))
SAME = result(system('same'), (50.1, 50.9, 49.05))
