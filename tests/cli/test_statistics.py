import json

import numpy as np
import pytest
from helpers.segmentation_data import write_benchmark
from helpers.segmentation_recipes import CONFIGS
from PIL import Image

from paco_seg import cli
from paco_seg.core.frequency import load_class_frequency
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
