"""From original files to the tables of docs/evidence.md, on made-up images and two iterations."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from paco_seg.comparison.demo_data.photographs import write_cifar100
from paco_seg.comparison.evidence import (
    NOT_RUN,
    differences_table,
    evidence_table,
    missing_lines,
)

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


def test_what_is_missing_is_said(tmp_path):
    assert evidence_table(tmp_path, ['ce']) == NOT_RUN
    results = comparison(tmp_path / 'a', ce=[1.0, 2.0, 3.0], gpaco=[1.0])
    assert missing_lines(results, ['ce']) == ['fewer seeds: gpaco (1 of 3)']
    results['refused'] = [['ceco', 'no map']]
    results['failed'] = [['gpaco/seed_1', 'killed']]
    assert missing_lines(results, ['ce', 'gpaco', 'ceco', 'dice']) == [
        'not run: dice',
        'fewer seeds: gpaco (1 of 3)',
        'ceco cannot serve this model: no map',
        'failed: gpaco/seed_1 (killed)',
    ]
