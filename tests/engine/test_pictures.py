import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.file_names import NOT_UTF8, ends_well

from paco_seg.engine.pictures import (
    CheckedLocalVisBackend,
    PictureSelection,
    images_of_one_name,
    read_picture,
    write_picture,
)


def painted(interval, limit, batches):
    seen = []

    def paint(runner, *, batch_idx, data_batch, outputs):
        assert data_batch['inputs'] == [f'image {output}' for output in outputs]
        seen.extend(outputs)

    selection = PictureSelection(paint, interval, limit)
    start = 0
    for number, size in enumerate(batches):
        outputs = list(range(start, start + size))
        start += size
        inputs = {'inputs': [f'image {output}' for output in outputs]}
        selection(None, batch_idx=number, data_batch=inputs, outputs=outputs)
    return seen


def test_every_nth_up_to_a_limit():
    assert painted(1, None, [2, 2, 1]) == [0, 1, 2, 3, 4]
    assert painted(3, None, [2, 2, 2, 2]) == [0, 3, 6]
    assert painted(2, 2, [4, 4]) == [0, 2]
    assert painted(1, 3, [2, 2, 2]) == [0, 1, 2]


class InMemory:
    """A data set of files, as far as their names matter."""

    def __init__(self, *paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        path = self.paths[index]
        return {} if path is None else dict(img_path=path)

    def prepare_data(self, index): ...


def test_images_that_would_be_written_under_one_name():
    assert images_of_one_name(InMemory('a/1.png', 'a/2.png', None, None)) is None
    assert images_of_one_name(InMemory('a/1.png', 'b/1.png')) == ('a/1.png', 'b/1.png')
    suffixes = InMemory('a/1.png', 'a/1.jpg')
    assert images_of_one_name(suffixes) is None
    assert images_of_one_name(suffixes, 'stem') == ('a/1.png', 'a/1.jpg')
    both = SimpleNamespace(datasets=[InMemory('a/1.png'), InMemory('a/1.png', 'b/1.png')])
    assert images_of_one_name(both) == ('a/1.png', 'b/1.png')


def test_a_picture_is_what_was_written(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    write_picture(tmp_path / 'new/a.png', image)
    assert (cv2.imread(str(tmp_path / 'new/a.png'), cv2.IMREAD_UNCHANGED) == image).all()


@pytest.mark.parametrize('name', ['a.png', 'a.jpg'])
def test_on_a_full_disk_the_old_picture_stays(tmp_path, limit_file_size, name):
    (tmp_path / name).write_text('old')
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    with limit_file_size(512), pytest.raises(OSError, match='File too large'):
        write_picture(tmp_path / name, image)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == 'old'


def test_what_is_no_picture_reads_as_none(tmp_path):
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('text')
    for name in ('empty.png', 'text.png', 'absent.png', ''):
        assert read_picture(tmp_path / name) is None


@pytest.mark.skipif(sys.platform != 'linux', reason='file names are text on other systems')
def test_a_painted_prediction_whose_name_is_not_utf8(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    backend = CheckedLocalVisBackend(str(tmp_path))
    assert ends_well(backend.add_image, NOT_UTF8, image)
    (path,) = tmp_path.rglob('*.png')
    assert path.name == f'{NOT_UTF8}_0.png'
    np.testing.assert_array_equal(read_picture(path)[..., ::-1], image)
