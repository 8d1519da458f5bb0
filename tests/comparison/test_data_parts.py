"""The parts of the data: a third split where there is one, lists of a held-out part elsewhere."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import Subset

from paco_seg import compat
from paco_seg.comparison.data_parts import TEST, TRAIN, VAL, divide_data
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.model_changes import apply_changes, render_config

THIRD_SEG = """
test_dataloader = dict(val_dataloader, dataset=dict(
    val_dataloader['dataset'], indices=1,
    data_prefix=dict(img_path='images/third', seg_map_path='labels/third')))
"""


@pytest.fixture(autouse=True)
def _packages():
    compat.setup()


@pytest.fixture
def third_seg(tiny_seg, tmp_path):
    """``third_seg(extra='')`` -> config with a third split."""

    def write(extra=''):
        path = tiny_seg(THIRD_SEG + extra)
        for kind in ('images', 'labels'):
            data = tmp_path / 'data' / kind
            shutil.copytree(data / 'train', data / 'third', dirs_exist_ok=True)
        return path

    return write


def parts_of(path, tmp_path, **options):
    cfg, scope = read_data_config(str(path))
    parts = divide_data(cfg, scope, tmp_path / 'parts', **options)
    return parts, apply_changes(cfg, parts.changes, ()), scope


def samples(cfg, loader, scope):
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg[loader].dataset)
    return {Path(dataset.get_data_info(i)['img_path']).resolve() for i in range(len(dataset))}


@pytest.mark.parametrize('task', ['tiny_seg', 'tiny_cls'])
def test_sets_a_part_aside_where_there_is_no_third_split(task, request, tmp_path):
    path = request.getfixturevalue(task)()
    cfg, scope = read_data_config(str(path))
    before = samples(cfg, TRAIN, scope)
    reported = samples(cfg, VAL, scope)
    parts, changed, _ = parts_of(path, tmp_path, share=0.3)
    train, search = samples(changed, TRAIN, scope), samples(changed, VAL, scope)
    assert train | search == before
    assert not train & search
    assert samples(changed, TEST, scope) == reported
    assert len(search) == parts.set_aside == parts.search_samples
    assert (parts.test_samples, parts.frequency.num_images) == (len(reported), len(train))
    assert 'set aside because the config has no third split' in parts.search
    lists = [
        (tmp_path / 'parts' / f'{name}.txt').read_text().split('\n')[:-1]
        for name in ('train', 'search')
    ]
    assert [len(names) for names in lists] == [len(train), len(search)]
    # what validates is not augmented
    assert changed[VAL].dataset.pipeline == cfg[VAL].dataset.pipeline
    again, _, _ = parts_of(path, tmp_path, share=0.3)
    assert again.fingerprint == parts.fingerprint
    assert parts_of(path, tmp_path, share=0.5)[0].fingerprint != parts.fingerprint


def test_labels_of_the_part_that_is_set_aside_stay_what_they_were(tiny_cls, tmp_path):
    _, changed, scope = parts_of(tiny_cls(), tmp_path, share=0.3)
    from mmengine.registry import DATASETS, DefaultScope

    with DefaultScope.overwrite_default_scope(scope):
        for loader in (TRAIN, VAL):
            dataset = DATASETS.build(changed[loader].dataset)
            for index in range(len(dataset)):
                info = dataset.get_data_info(index)
                name = Path(info['img_path']).parent.name
                assert dataset.metainfo['classes'][int(info['gt_label'])] == name


def test_a_third_split_chooses_and_the_test_split_is_reported(third_seg, tmp_path):
    parts, _, _ = parts_of(third_seg('test_dataloader.update(batch_size=3)\n'), tmp_path)
    assert (parts.changes, parts.set_aside, parts.test_batch) == ([], 0, 3)
    assert parts.search == f'the data of {VAL}'
    assert parts.reported == f'the data of {TEST}'
    assert parts.frequency.num_images == 7


def test_a_test_split_without_labels_is_not_reported(third_seg, tmp_path, capsys):
    absent = "test_dataloader['dataset']['data_prefix']['seg_map_path'] = 'labels/absent'\n"
    parts, _, _ = parts_of(third_seg(absent), tmp_path)
    assert parts.reported == f'the data of {VAL}'
    assert 'no labels can be read' in capsys.readouterr().out


def test_a_wrapped_data_set_gets_the_list_inside(tiny_seg, tmp_path):
    extra = (
        "\ntrain_dataloader['dataset'] = dict("
        "type='RepeatDataset', times=2, dataset=train_dataloader['dataset'])\n"
    )
    _, changed, _ = parts_of(tiny_seg(extra), tmp_path)
    assert changed[TRAIN].dataset.dataset.ann_file.endswith('train.txt')
    assert changed[VAL].dataset.type == 'BaseSegDataset'


def test_a_data_set_that_reads_no_lists_gets_positions(tiny_cls, tmp_path):
    extra = "\ntrain_dataloader['dataset']['indices'] = [0, 1, 3, 4, 6, 7, 9, 10]\n"
    parts, changed, _ = parts_of(tiny_cls(extra), tmp_path, share=0.5)
    positions = changed[TRAIN].dataset.indices, changed[VAL].dataset.indices
    assert sorted([*positions[0], *positions[1]]) == [0, 1, 3, 4, 6, 7, 9, 10]
    assert parts.frequency.images == (1, 1, 1, 1)


def _lists(folder):
    return [(folder / 'parts' / name).read_text() for name in ('train.txt', 'search.txt')]


def test_counts_are_reused_until_a_label_map_changes(tiny_seg, tmp_path, capsys):
    path = tiny_seg()
    before, _, _ = parts_of(path, tmp_path)
    stored = json.loads((tmp_path / 'parts' / 'label_counts.json').read_text())
    assert len(stored['counts']) == 7
    capsys.readouterr()
    again, _, _ = parts_of(path, tmp_path)
    assert 'Counting' not in capsys.readouterr().out
    assert again.fingerprint == before.fingerprint
    lists = _lists(tmp_path)
    label_map = tmp_path / 'data' / 'labels' / 'train' / '0.png'
    labels = cv2.imread(str(label_map), cv2.IMREAD_UNCHANGED)
    labels[0, 0] = labels[labels != labels[0, 0]][0]
    cv2.imwrite(str(label_map), labels)
    after, _, _ = parts_of(path, tmp_path)
    assert 'Counting' in capsys.readouterr().out
    # the samples are the same, what is learned from them is not
    assert _lists(tmp_path) == lists
    assert after.fingerprint != before.fingerprint
    assert parts_of(path, tmp_path)[0].fingerprint == after.fingerprint


def test_a_change_of_what_is_evaluated_changes_the_fingerprint(third_seg, tmp_path):
    path = third_seg()
    before = parts_of(path, tmp_path)[0].fingerprint
    for split in ('third', 'val'):
        label_map = tmp_path / f'data/labels/{split}/0.png'
        labels = cv2.imread(str(label_map), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(label_map), (labels + 1) % 4)
        after = parts_of(path, tmp_path)[0].fingerprint
        assert after != before
        cv2.imwrite(str(label_map), labels)
        assert parts_of(path, tmp_path)[0].fingerprint == before


def test_images_that_are_there_twice_are_set_aside_together(tiny_seg, tmp_path):
    extra = """
train_dataloader['dataset'] = dict(
    type='ConcatDataset', datasets=[train_dataloader['dataset'], train_dataloader['dataset']])
"""
    parts, changed, scope = parts_of(tiny_seg(extra), tmp_path, share=0.3)
    train, search = samples(changed, TRAIN, scope), samples(changed, VAL, scope)
    assert not train & search
    assert parts.set_aside == 2 * len(search)


def test_a_set_of_one_image_keeps_it(tiny_seg, tmp_path):
    extra = """
whole = train_dataloader['dataset']
train_dataloader['dataset'] = dict(
    type='ConcatDataset', datasets=[dict(whole, indices=-6), dict(whole, indices=1)])
"""
    for seed in range(9):  # some of which would take it
        _, changed, scope = parts_of(tiny_seg(extra), tmp_path, share=0.5, seed=seed)
        first, second = changed[TRAIN].dataset.datasets
        assert second.indices == [0]
        assert set(first.indices) < set(range(-6, 0))
        train, search = samples(changed, TRAIN, scope), samples(changed, VAL, scope)
        assert len(train | search) == 7
        assert not train & search


def test_images_of_the_validation_that_are_trained_on_or_reported(
    third_seg, tiny_seg, tmp_path, capsys
):
    both = """
train_dataloader['dataset'] = dict(
    type='ConcatDataset', datasets=[train_dataloader['dataset'], val_dataloader['dataset']])
"""
    with pytest.raises(ValueError, match=r'of train_dataloader, got 2 of its images there'):
        parts_of(tiny_seg(both), tmp_path)
    few = "val_dataloader['dataset'] = dict(test_dataloader['dataset'], indices=2)\n"
    parts, _, _ = parts_of(third_seg(few), tmp_path / 'few')
    assert 'test_dataloader: 1 of its images are those of val_' in capsys.readouterr().out
    assert parts.reported == f'the data of {VAL}'
    assert parts.set_aside > 0


def test_refuses_a_config_without_data_and_one_that_reports_what_it_trains_on(
    third_seg, tiny_seg, tmp_path
):
    with pytest.raises(ValueError, match='val_dataloader: expected a loader with a dataset'):
        parts_of(tiny_seg('\nval_dataloader = None\n'), tmp_path)
    extra = "\nval_dataloader['dataset'] = train_dataloader['dataset']\n"
    with pytest.raises(ValueError, match=r'dataset: expected other data than those of train_'):
        parts_of(tiny_seg(extra + 'test_dataloader = val_dataloader\n'), tmp_path)
    with pytest.raises(ValueError, match=r'^val_dataloader.dataset: expected other data than'):
        parts_of(third_seg(extra), tmp_path)  # would choose on what it trains on
    gone = "\ntrain_dataloader['dataset']['data_root'] = '/nowhere'\n"
    with pytest.raises(FileNotFoundError, match=r'train_dataloader.dataset.data_root'):
        parts_of(tiny_seg(gone), tmp_path)


LONG_TAIL = """
train_dataloader['dataset'] = dict(
    type='LongTailDataset', imbalance_factor=0.5, dataset=train_dataloader['dataset'])
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
"""


def test_what_a_wrapper_leaves_out_is_not_counted_and_does_not_choose(tiny_cls, tmp_path):
    whole, _, _ = parts_of(tiny_cls(), tmp_path / 'whole', share=0.3)
    number = sum(whole.frequency.images) + whole.set_aside
    path = tiny_cls(LONG_TAIL)
    cfg, scope = read_data_config(str(path))
    with DefaultScope.overwrite_default_scope(scope):
        drawn = DATASETS.build(cfg[TRAIN].dataset)
    assert len(drawn) < number
    parts, changed, scope = parts_of(path, tmp_path / 'drawn', share=0.3)
    assert sum(parts.frequency.images) + parts.set_aside == len(drawn)
    train, search = samples(changed, TRAIN, scope), samples(changed, VAL, scope)
    files = {Path(drawn.get_data_info(i)['img_path']).resolve() for i in range(len(drawn))}
    assert not train & search
    assert train | search == files
    # What is written says the same.
    text = render_config(path.name, cfg, parts.changes, ())
    (path.parent / 'written.py').write_text(text)
    written = Config.fromfile(path.parent / 'written.py')
    assert samples(written, TRAIN, scope) == train


def test_folds_of_one_data_set_have_no_image_in_common(tiny_cls, tmp_path):
    extra = """
data = train_dataloader['dataset']
train_dataloader['dataset'] = dict(type='KFoldDataset', num_splits=3, seed=0, dataset=data)
val_dataloader['dataset'] = dict(
    type='KFoldDataset', num_splits=3, seed=0, dataset=data, test_mode=True)
"""
    parts, changed, scope = parts_of(tiny_cls(extra), tmp_path, share=0.3)
    train, search = samples(changed, TRAIN, scope), samples(changed, VAL, scope)
    reported = samples(changed, TEST, scope)
    assert not (train | search) & reported
    assert len(train | search) == sum(parts.frequency.images) + parts.set_aside


def test_images_that_are_repeated_count_as_often(tiny_seg, tmp_path):
    extra = """
whole = train_dataloader['dataset']
train_dataloader['dataset'] = dict(type='RepeatDataset', times=2, dataset=dict(
    type='ConcatDataset', datasets=[
        dict(whole, indices=2),
        dict(type='RepeatDataset', times=3, dataset=dict(whole, indices=-2))]))
"""
    cfg, scope = read_data_config(str(tiny_seg(extra)))
    parts = divide_data(cfg, scope, tmp_path / 'parts', share=0.01)
    with DefaultScope.overwrite_default_scope(scope):
        built = DATASETS.build(apply_changes(cfg, parts.changes, ())[TRAIN].dataset)
    assert parts.frequency.num_images == len(built) / 2  # both parts are repeated twice


class Firsts(Subset):
    def __init__(self, dataset, number):
        super().__init__(DATASETS.build(dataset), range(number))


def test_a_wrapper_that_chooses_unknown_images_is_refused(tiny_cls, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS.module_dict, 'Firsts', Firsts)
    extra = """
train_dataloader['dataset'] = dict(
    type='mmengine.Firsts', number=5, dataset=train_dataloader['dataset'])
"""
    with pytest.raises(ValueError, match=r'dataset: expected a wrapper that trains on every'):
        parts_of(tiny_cls(extra), tmp_path)
