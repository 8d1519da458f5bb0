import numpy as np
import pytest
from PIL import Image

from paco_seg.engine.image_files import check_complete, is_file, read_header, read_raw


@pytest.fixture
def turned(tmp_path):
    """A grey gradient that EXIF turns by a quarter."""
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'turned.png', exif=exif)
    return str(tmp_path / 'turned.png')


def test_header_and_values(turned):
    header = read_header(turned)
    assert (header.format, header.mode, header.size, header.orientation) == ('PNG', 'L', (3, 4), 6)
    assert header.shown_size == (4, 3)
    assert check_complete(turned) == header
    stored = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(read_raw(turned), stored)
    np.testing.assert_array_equal(read_raw(turned, turned=True), np.rot90(stored, -1))


def test_other_formats_are_left_to_the_pipeline(tmp_path):
    np.save(tmp_path / 'a.npy', np.zeros(3))
    assert read_header(str(tmp_path / 'a.npy')) is None
    assert check_complete(str(tmp_path / 'a.npy')) is None
    with pytest.raises(ValueError, match='expected an image that Pillow reads'):
        read_raw(str(tmp_path / 'a.npy'))


def test_bad_files(turned, tmp_path, monkeypatch):
    with pytest.raises(IsADirectoryError, match='it is a folder'):
        read_header(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        read_header(str(tmp_path / 'no.png'))
    for limit in (11, 5):  # above it Pillow warns, above twice it Pillow raises
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
        with pytest.raises(ValueError, match=f'expected at most {limit} pixels, got more'):
            read_header(turned)
    monkeypatch.undo()
    content = np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)
    path = tmp_path / 'short.png'
    Image.fromarray(content).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert read_header(str(path)).size == (50, 50)
    with pytest.raises(OSError, match='truncated'):
        check_complete(str(path))
    assert is_file(turned)
    assert not is_file(str(tmp_path))
