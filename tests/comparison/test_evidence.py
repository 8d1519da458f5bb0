"""From original files to the tables of docs/evidence.md, on made-up images and two iterations."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from paco_seg import compat
from paco_seg.cli.swap import systems_of
from paco_seg.comparison.demo_data.photographs import write_cifar100
from paco_seg.comparison.evidence import (
    NOT_RUN,
    differences_table,
    evidence_table,
    groups_table,
    missing_lines,
    variants_table,
)
from paco_seg.comparison.user_results import costs_of
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.systems import SystemInputs
from paco_seg.engine.variants import resolve_variant, split_name
from paco_seg.seg.heads import GPaCoBranch
from tests.conftest import load_script
from tests.helpers.made_up_comparison import CE, UP, results

CONFIGS = Path(__file__).parents[2] / 'configs' / 'evidence'
BASE = 'ce_lite0-in1k-pre_1xb64-1k_cifar100-lt-ir100-48x48.py'

# The base model with another backbone, for timm and its weights are not among the tests' packages.
CONFIG = """
_base_ = {base!r}
images = dict(data_root={root!r}, classes={classes!r})
data_preprocessor = dict(num_classes=3)
model = dict(
    backbone=dict(_delete_=True, type='CIFARResNet', depth=8),
    head=dict(num_classes=3, in_channels=64),
)
train_dataloader = dict(batch_size=8, dataset=images)
val_dataloader = dict(dataset=images)
test_dataloader = dict(dataset=images)
val_evaluator = dict(train_counts=images)
test_evaluator = val_evaluator
del images
"""


@pytest.fixture
def config(tmp_path):
    source, rng = tmp_path / 'cifar-100-python', np.random.default_rng(0)
    source.mkdir()
    (source / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=['apple', 'bear', 'cup'])))
    for part in ('train', 'test'):
        content = dict(
            data=rng.integers(0, 256, (36, 3072), dtype=np.uint8),
            fine_labels=[index % 3 for index in range(36)],
            filenames=[f'{part}_{index}.png' for index in range(36)],
        )
        (source / part).write_bytes(pickle.dumps(content))
    root = tmp_path / 'cifar100_lt'
    write_cifar100(source, root)
    path = tmp_path / 'config.py'
    path.write_text(
        CONFIG.format(base=str(CONFIGS / BASE), root=str(root), classes=str(root / 'classes.txt'))
    )
    return path


def test_a_cell_of_generated_images_becomes_a_row(config, tmp_path, run_tool, capsys):
    out = tmp_path / 'out'
    run_tool(
        'compare', config, '--systems', 'ce', '--seeds', '1', '--iters', '2', '--search',
        'none', '--validations', '1', '--cfg-options', 'train_dataloader.batch_size=4',
        '--out', out,
    )  # fmt: skip
    results = json.loads((out / 'results.json').read_text())
    assert results['images'] == [12, 12, 5]
    assert [len(run['validation']) for run in results['systems'][0]['runs']] == [1]
    assert 'batch_size=4' in (out / 'configs' / 'base.py').read_text()
    table = evidence_table(out, ['ce', 'gpaco'])
    assert table.startswith('**Partial**, not run: gpaco; fewer seeds: ce (1 of 3).')
    assert '2 iterations, 1 seeds; settings: the defaults of every system' in table
    mean = results['systems'][0]['runs'][0]['metrics']['class_mean']
    assert f'| CE | {mean:.1f} ' in ' '.join(table.split())


def comparison(folder, **values):
    """A results.json of which the differences read the metric of each run alone."""
    folder.mkdir()
    systems = [
        dict(
            name=name,
            runs=[dict(seed=seed, metrics=dict(mIoU=v)) for seed, v in enumerate(found)],
        )
        for name, found in values.items()
    ]
    content = dict(metric='mIoU', systems=systems, refused=[], failed=[])
    (folder / 'results.json').write_text(json.dumps(content))
    (folder / 'costs.json').write_text('{}')
    return content


def test_differences_are_paired_by_seed(tmp_path):
    comparison(tmp_path / 'a', ce=[40.0, 42.0, 44.0], gpaco=[43.0, 45.1, 46.9])
    folders = {'A': tmp_path / 'a', 'B': tmp_path / 'absent'}
    rows = differences_table(folders, [('gpaco', 'ce'), ('focal', 'ce')]).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip('|').split('|')] for row in rows]
    assert cells == [
        ['A', 'gpaco - ce', '3.0 ± 0.1', 'better (3 seeds)'],
        ['A', 'focal - ce', NOT_RUN, NOT_RUN],
        ['B', 'gpaco - ce', NOT_RUN, NOT_RUN],
        ['B', 'focal - ce', NOT_RUN, NOT_RUN],
    ]


def test_settings_stand_beside_their_reference(tmp_path):
    content = comparison(
        tmp_path / 'a', **{'gpaco': [40.0, 42.0, 44.0], 'gpaco@alpha=0.1': [43.0, 45.1, 46.9]}
    )
    for system in content['systems']:
        for run in system['runs']:
            run['validation'] = [[1, 1.0], [2, 50.0 + run['seed']]]
    (tmp_path / 'a' / 'results.json').write_text(json.dumps(content))
    groups = [('gpaco', 'gpaco', [('alpha 0.1', 'gpaco@alpha=0.1'), ('x', 'gpaco@x=1')])]

    def cells(folder):
        rows = variants_table(folder, groups).splitlines()[2:]
        return [[cell.strip() for cell in row.strip('|').split('|')] for row in rows]

    assert cells(tmp_path / 'a') == [
        ['**gpaco**', '51.0 ± 1.0', '42.0 ± 2.0', 'reference', ''],
        ['alpha 0.1', '51.0 ± 1.0', '45.0 ± 2.0', '3.0 ± 0.1', 'better (3 seeds)'],
        ['x', *[NOT_RUN] * 4],
    ]
    assert cells(tmp_path / 'absent') == [
        [title, *[NOT_RUN] * 4] for title in ('**gpaco**', 'alpha 0.1', 'x')
    ]


def test_groups_time_and_equal_time_stand_beside_the_means(tmp_path):
    content = results(CE, UP)
    (tmp_path / 'results.json').write_text(json.dumps(content))
    (tmp_path / 'costs.json').write_text(json.dumps(costs_of([CE, UP], content, 1)))
    lines = groups_table(tmp_path).splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert header == ['System', *content['groups'], 'Training', 'At equal time']
    assert [(row[0], *row[-2:]) for row in rows] == [
        ('CE', '11 s', '50.0 ± 1.0'),
        ('UP', '21 s', '24.0 ± 0.4'),  # 0.4 of its values: the first validation alone was in time
    ]
    assert groups_table(tmp_path / 'absent') == NOT_RUN


def test_every_row_of_settings_is_a_system_that_trains(tmp_path):
    """Each name resolves, serves the evidence config, and makes a loss that takes its settings."""
    compat.setup()
    tables = load_script(CONFIGS.parents[1] / 'docs' / 'evidence_tables.py')
    file = tmp_path / 'frequency.json'
    counts = tuple(range(11, 0, -1))
    save_class_frequency(ClassFrequency(tuple('abcdefghijk'), counts, counts, 12), file)
    built = set()
    for study in tables.SETTINGS_STUDIES.values():
        cfg, scope = read_data_config(str(CONFIGS / study.config))
        names = study.names()
        assert len(set(names)) == len(names)
        for name in names:
            system = resolve_variant(systems_of(scope), name)
            model = system.apply(cfg, {}, SystemInputs(frequency_file=str(file))).model
            head = model.decode_head if scope == 'mmseg' else model.head
            settings = head.loss_contrast if scope == 'mmseg' else head
            wanted = {key.rpartition('.')[2]: value for key, value in split_name(name)[1].items()}
            found = {**settings, **settings.get('loss', {})}
            assert {key: found[key] for key in wanted} == wanted
            with DefaultScope.overwrite_default_scope(scope):
                if scope == 'mmseg':
                    GPaCoBranch(
                        in_channels=4, num_classes=11, norm_cfg=dict(type='BN'),
                        loss_contrast=settings.to_dict(),
                    )  # fmt: skip
                else:
                    MODELS.build(settings.loss.to_dict())
            built.add(scope)
    assert built == {'mmseg', 'mmpretrain'}


def test_what_is_missing_is_said(tmp_path):
    assert evidence_table(tmp_path, ['ce']) == NOT_RUN
    results = comparison(tmp_path / 'a', ce=[1.0, 2.0, 3.0], gpaco=[1.0])
    assert missing_lines(results, ['ce']) == ['fewer seeds: gpaco (1 of 3)']
    results['refused'] = [['ceco', 'no map']]
    results['failed'] = [['gpaco/seed_1', 'killed']]
    assert missing_lines(results, ['ce', 'gpaco', 'ceco', 'dice']) == [
        'not run: dice',
        'fewer seeds: gpaco (1 of 3)',
        'failed: gpaco/seed_1 (killed)',
    ]


def test_what_cannot_serve_the_model_does_not_leave_a_table_partial(tmp_path):
    found = (CE, UP)
    data = results(*found, refused=[('ceco', 'no map')])
    (tmp_path / 'results.json').write_text(json.dumps(data))
    (tmp_path / 'costs.json').write_text(json.dumps(costs_of(found, data, batch_size=1)))
    table = evidence_table(tmp_path, ['ce', 'up', 'ceco'])
    assert table.startswith('**Complete.** ceco cannot serve this model: no map.')
    assert evidence_table(tmp_path, ['ce', 'two']).startswith('**Partial**, not run: two. ceco')


def test_rows_of_two_machines_are_judged_with_twice_the_variance(tmp_path):
    content = comparison(
        tmp_path / 'a', ce=[50.0, 51.0, 49.2], here=[53.1, 53.9, 52.0], there=[53.4, 54.4, 52.2]
    )
    content['baseline'] = 'ce'
    file = tmp_path / 'a' / 'results.json'

    def row(pair):
        file.write_text(json.dumps(content))
        return differences_table({'A': tmp_path / 'a'}, [pair]).splitlines()[-1]

    one_machine = row(('there', 'here'))
    assert '0.3 ± 0.2' in one_machine
    assert 'better' in one_machine
    for run, value in zip(content['systems'][2]['runs'], (50.0, 51.0, 49.2), strict=True):
        run['baseline'] = value  # it came out alike on the other machine
    assert '0.3 ± 0.2' in row(('there', 'here'))
    assert 'equivalent within the noise' in row(('there', 'here'))
    assert 'better' in row(('there', 'ce'))
