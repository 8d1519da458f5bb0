import cv2
import numpy as np
import pytest

from paco_seg.engine.pictures import PictureSelection, write_picture


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
