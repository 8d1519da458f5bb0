import json

import numpy as np
import pytest
from helpers.segmentation_data import write_benchmark
from helpers.segmentation_recipes import CONFIGS
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from paco_seg import cli
from paco_seg.core.frequency import load_class_frequency
from paco_seg.engine.data_config import read_data_config
from paco_seg.seg.datasets import label_counts

CONFIG = str(CONFIGS / 'gpaco/gpaco-deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py')


@pytest.fixture
def data(tmp_path):
    return write_benchmark('cityscapes', tmp_path / 'cityscapes', size=(16, 24), num=3)


def run(data, out, *arguments):
    options = ['--cfg-options', f'train_dataloader.dataset.data_root={data}']
    cli.run(['statistics', CONFIG, '-o', str(out), '--jobs', '2', *arguments, *options])
    return json.loads(out.read_text())


def expected_counts(data):
    images, pixels = np.zeros(19, int), np.zeros(19, int)
    for path in (data / 'gtFine/train').rglob('*_labelTrainIds.png'):
        labels = np.asarray(Image.open(path))
        for c in range(19):
            images[c] += (labels == c).any()
            pixels[c] += (labels == c).sum()
    return images.tolist(), pixels.tolist()


def test_counts_pixels_and_images(data, tmp_path, capsys):
    out, picture = tmp_path / 'frequency.json', tmp_path / 'frequency.png'
    result = run(data, out, '--plot', str(picture))
    assert (result['images'], result['pixels']) == expected_counts(data)
    assert result['num_images'] == 3
    assert result['classes'][:2] == ['road', 'sidewalk']
    assert load_class_frequency(out).num_images == 3
    assert Image.open(picture).size == (1200, 400)
    assert not list(tmp_path.glob('*.part'))
    printed = capsys.readouterr().out
    assert 'by images: head (>= 10.0%)' in printed
    assert 'by pixels: head (>= 1.0%)' in printed
    absent = [c for c, n in zip(result['classes'], result['images'], strict=True) if n == 0]
    assert not absent or f'in no image: {", ".join(absent)}' in printed


def test_goes_on_where_it_stopped(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(label_counts, 'CHUNK', 1)
    out = tmp_path / 'frequency.json'
    broken = sorted((data / 'gtFine/train').rglob('*_labelTrainIds.png'))[-1]
    content = broken.read_bytes()
    broken.write_bytes(b'')
    with pytest.raises(Exception, match=r'identify|decode|image'):
        run(data, out)
    assert not out.exists()
    state = json.loads((tmp_path / 'frequency.json.part').read_text())
    assert state['done'] == 2
    broken.write_bytes(content)
    result = run(data, out)
    assert 'going on after 2 images' in capsys.readouterr().out
    assert (result['images'], result['pixels']) == expected_counts(data)


def test_label_maps_that_have_changed_are_counted_again(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(label_counts, 'CHUNK', 1)
    out = tmp_path / 'frequency.json'
    *_, sound, broken = sorted((data / 'gtFine/train').rglob('*_labelTrainIds.png'))
    content = broken.read_bytes()
    broken.write_bytes(b'')
    with pytest.raises(Exception, match=r'identify|decode|image'):
        run(data, out)
    broken.write_bytes(content)
    Image.fromarray(np.full((16, 24), 18, np.uint8)).save(sound)
    result = run(data, out)
    assert 'label maps that were counted have changed' in capsys.readouterr().out
    assert (result['images'], result['pixels']) == expected_counts(data)


def test_state_of_other_files_is_not_used(data, tmp_path):
    out = tmp_path / 'frequency.json'
    state = dict(files='other', done=2, counts=[[7] * 19] * 2)
    (tmp_path / 'frequency.json.part').write_text(json.dumps(state))
    result = run(data, out)
    assert (result['images'], result['pixels']) == expected_counts(data)


def test_a_label_that_is_no_class_is_named(data, tmp_path):
    path = next((data / 'gtFine/train').rglob('*_labelTrainIds.png'))
    Image.fromarray(np.full((16, 24), 33, np.uint8)).save(path)
    with pytest.raises(ValueError, match=rf'{path.name}: expected labels in \[0, 19\) or 255'):
        run(data, tmp_path / 'frequency.json')


def test_several_void_labels_are_written_as_one(data, tmp_path, monkeypatch):
    monkeypatch.setattr(label_counts, 'CHUNK', 1)
    first, second, third = sorted((data / 'gtFine/train').rglob('*_labelTrainIds.png'))
    for path, void in ((first, 255), (second, 3), (third, 254)):
        Image.fromarray(np.full((16, 24), void, np.uint8)).save(path)
    with pytest.raises(ValueError, match=rf'{third.name}: .* Write void as 255 everywhere'):
        run(data, tmp_path / 'frequency.json')


def test_labels_that_seem_to_start_at_one_are_advised_and_warned_of(data, tmp_path):
    out = tmp_path / 'frequency.json'
    rows = [np.array([1, 2]), np.array([2, 19]), np.array([1, 19])]
    paths = sorted((data / 'gtFine/train').rglob('*_labelTrainIds.png'))
    for path, values in zip(paths, rows, strict=True):
        Image.fromarray(np.tile(values.astype(np.uint8), (16, 12))).save(path)
    with pytest.raises(ValueError, match=r'labels from 1 to 19\? Set reduce_zero_label=True'):
        run(data, out)
    void = [
        f'{key}.ignore_index=19'
        for key in ('train_dataloader.dataset', 'model.decode_head', 'model.auxiliary_head')
    ]
    words = [f'train_dataloader.dataset.data_root={data}', 'model.data_preprocessor.size=None']
    # Counted all the same: a sound set may look so.
    with pytest.warns(UserWarning, match=r'If labels go from 1 to 19, set reduce_zero_label'):
        cli.run(['statistics', CONFIG, '-o', str(out), '--cfg-options', *words, *void])
    assert json.loads(out.read_text())['images'][:3] == [0, 2, 2]


@pytest.mark.parametrize('jobs', [0, -1])
def test_fewer_than_one_process_is_refused(data, tmp_path, jobs):
    with pytest.raises(ValueError, match=f'^--jobs: expected at least 1 process, got {jobs}'):
        cli.run(['statistics', CONFIG, '-o', str(tmp_path / 'a.json'), '--jobs', str(jobs)])


def test_a_folder_as_output_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'^--out: expected a file, got the folder'):
        cli.run(['statistics', CONFIG, '-o', str(tmp_path)])
    with pytest.raises(ValueError, match=r'^--plot: expected a file, got the folder'):
        cli.run(['statistics', CONFIG, '-o', str(tmp_path / 'a.json'), '--plot', str(tmp_path)])


def test_a_picture_that_cannot_be_written_is_refused_before_counting(tmp_path):
    with pytest.raises(ValueError, match=r'^--plot: expected a name that ends in \.png'):
        cli.run(['statistics', CONFIG, '-o', str(tmp_path / 'a.json'), '--plot', 'a.xyz'])


@pytest.mark.parametrize('content', ['{"files": "a', '[]', '{"files": 3}'])
def test_a_damaged_state_is_named(data, tmp_path, content):
    state = tmp_path / 'frequency.json.part'
    state.write_text(content)
    if content == '{"files": 3}':  # of other files: not used
        run(data, tmp_path / 'frequency.json')
        return
    with pytest.raises(ValueError, match=r'frequency\.json\.part: expected the state of an inter'):
        run(data, tmp_path / 'frequency.json')
    assert state.read_text() == content


def test_wrong_counts_are_not_written(data, tmp_path):
    paths = sorted((data / 'gtFine/train').rglob('*_labelTrainIds.png'))
    out = tmp_path / 'frequency.json'
    Image.fromarray(np.full((16, 24), 256, np.uint16)).save(paths[0])
    with pytest.raises(
        ValueError, match=rf'{paths[0].name}: .*got 256 which loads as 0.*LoadLabel'
    ):
        run(data, out)
    Image.fromarray(np.ones((16, 24, 3), np.uint8)).save(paths[0])
    with pytest.raises(ValueError, match=r'one channel of labels, got \(16, 24, 3\)'):
        run(data, out)
    for path in paths:
        Image.fromarray(np.full((16, 24), 255, np.uint8)).save(path)
    with pytest.raises(
        ValueError, match=r'train_dataloader\.dataset: expected at least two of the'
    ):
        run(data, out)
    assert not list(tmp_path.glob('frequency*'))


def test_images_of_a_classification_set_are_counted(tiny_cls, tmp_path, capsys):
    out, picture = tmp_path / 'frequency.json', tmp_path / 'frequency.png'
    config = str(tiny_cls())
    cli.run(['statistics', config, '-o', str(out), '--plot', str(picture), '--jobs', '1'])
    frequency = load_class_frequency(out)
    assert frequency.classes == ('car', 'road', 'sky', 'tree')
    assert (frequency.images, frequency.pixels, frequency.num_images) == ((3,) * 4, None, 12)
    assert Image.open(picture).size == (600, 400)
    assert 'by pixels' not in capsys.readouterr().out


@pytest.mark.parametrize('times', [1, 3])
def test_what_is_repeated_is_counted_as_often_as_it_is_delivered(
    tiny_seg, run_tool, tmp_path, times
):
    extra = f"""
whole = train_dataloader['dataset']
train_dataloader['dataset'] = dict(type='RepeatDataset', times=10, dataset=dict(
    type='ConcatDataset', datasets=[
        dict(whole, indices=2),
        dict(type='RepeatDataset', times={times}, dataset=dict(whole, indices=-1))]))
"""
    config, out = tiny_seg(extra), tmp_path / 'frequency.json'
    run_tool('statistics', config, '-o', out)
    found = load_class_frequency(out)
    cfg, scope = read_data_config(str(config))
    with DefaultScope.overwrite_default_scope(scope):
        built = DATASETS.build(cfg.train_dataloader.dataset.dataset)
    images, pixels = np.zeros(4, int), np.zeros(4, int)
    for index in range(len(built)):  # ten times that is one epoch
        labels = np.asarray(Image.open(built.get_data_info(index)['seg_map_path']))
        counts = np.bincount(labels.ravel(), minlength=256)[:4]
        images += counts > 0
        pixels += counts
    assert found.num_images == len(built) == 2 + times
    assert (found.images, found.pixels) == (tuple(images), tuple(pixels))


def test_counts_of_another_split_have_a_name_of_their_own(tiny_seg, monkeypatch, tmp_path):
    config = tiny_seg()
    monkeypatch.chdir(tmp_path)
    for loader in ('train_dataloader', 'val_dataloader'):
        cli.run(['statistics', str(config), '--loader', loader])
    train, val = (
        load_class_frequency(tmp_path / f'config{part}_class-frequency.json').num_images
        for part in ('', '_val')
    )
    assert train > val


def test_counts_of_other_data_stay(tiny_seg, run_tool, monkeypatch, tmp_path, capsys):
    config, usual = tiny_seg(), tmp_path / 'config_class-frequency.json'
    monkeypatch.chdir(tmp_path)
    run_tool('statistics', config)
    before = usual.read_bytes()
    run_tool('statistics', config)  # of the same data, once more
    assert list(tmp_path.glob('*_class-frequency.json')) == [usual]
    fewer = tiny_seg("train_dataloader['dataset']['indices'] = 2\n")
    capsys.readouterr()
    run_tool('statistics', fewer)
    assert usual.read_bytes() == before
    (other,) = {*tmp_path.glob('*_class-frequency.json')} - {usual}
    assert load_class_frequency(other).num_images == 2
    assert f'is of other data; counting into {other.name}' in capsys.readouterr().out
    run_tool('statistics', fewer, '-o', usual)
    assert load_class_frequency(usual).num_images == 2


def test_a_damaged_file_is_counted_anew(tiny_seg, run_tool, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    damaged = tmp_path / 'config_class-frequency.json'
    damaged.write_text('{"x": ')
    run_tool('statistics', tiny_seg())
    assert load_class_frequency(damaged).num_images == 7
