import os

import cv2
import numpy as np
import pytest
from PIL import Image

from paco_seg.engine.media import (
    SHOWN,
    damage_of,
    find_media,
    opencv_reads,
    refusal_of_damaged,
    shortfall_of,
)


def test_names_that_would_collide_keep_their_suffix(tmp_path):
    for name in ('a.png', 'a.jpg', 'a_png.bmp', 'b.png', '.c.png', 'sub/a.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    assert find_media(tmp_path).names == ('a_jpg', 'a_png_', 'a_png', 'b', 'sub/a')


def test_a_file_is_one_image_and_an_empty_folder_none(tmp_path):
    with pytest.raises(ValueError, match=r'^IMAGES: expected a folder with images'):
        find_media(tmp_path)
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    media = find_media(path)
    assert len(media) == 1
    assert list(media) == [('a', str(path))]


def test_a_damaged_video_is_refused(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match=r'^IMAGES: expected a video that OpenCV reads'):
        find_media(tmp_path / 'a.mp4')


@pytest.mark.parametrize('kept', [1.0, 0.5])
def test_a_video_that_is_cut_off_is_told(tmp_path, kept):
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 8, (48, 32))
    rng = np.random.default_rng(0)
    for _ in range(20):
        writer.write(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    media = find_media(path)
    delivered = len(list(media))
    missing = shortfall_of(media, delivered)
    if kept == 1.0:
        assert (delivered, missing) == (20, '')
    else:
        assert 0 < delivered < 15
        assert missing == (
            f'it says that it has 20 frames, and no more than {delivered} can be read'
        )


def test_images_are_never_too_few(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 4, 3), np.uint8))
    assert shortfall_of(find_media(tmp_path), 0) == ''


def test_why_a_header_cannot_be_used_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 7)
    cv2.imwrite(str(tmp_path / 'tile.png'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r'tile\.png \(.*expected at most \d+ pixels'):
        find_media(tmp_path)


def test_linked_folders_are_entered_once(tmp_path):
    images, elsewhere = tmp_path / 'images', tmp_path / 'elsewhere'
    for folder in (images, elsewhere):
        folder.mkdir()
        cv2.imwrite(str(folder / 'a.png'), np.zeros((4, 4, 3), np.uint8))
    (images / 'linked').symlink_to(elsewhere)
    (elsewhere / 'back').symlink_to(images)
    assert find_media(images).names == ('a', 'linked/a')


def test_names_that_are_not_utf8_are_written_in_it(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 4, 3), np.uint8))
    try:
        os.rename(tmp_path / 'a.png', os.fsencode(tmp_path) + b'/b\xe4r.png')
    except OSError:
        pytest.skip('the file system has UTF-8 names alone')
    media = find_media(tmp_path)
    assert media.names == ('bär',)
    assert os.fsencode(media.files[0]).endswith(b'/b\xe4r.png')
    os.rename(os.fsencode(tmp_path) + b'/b\xe4r.png', os.fsencode(tmp_path) + b'/b\xe4r.mp4')
    with pytest.raises(ValueError, match=r'^IMAGES: expected a video with a name in UTF-8, got'):
        find_media(os.fsdecode(os.fsencode(tmp_path) + b'/b\xe4r.mp4'))


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp'])
def test_half_a_file_passes_the_headers_and_is_damaged(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    assert damage_of(str(path)) == ''
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert find_media(path).files == (str(path),)
    assert damage_of(str(path))
    assert damage_of(str(tmp_path / 'gone.png'))


def test_what_pillow_forgives_is_asked_of_opencv(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    assert opencv_reads(str(path))
    path.write_bytes(b'no image')
    assert not opencv_reads(str(path))
    assert not opencv_reads(str(tmp_path / 'gone.png'))


def test_a_lack_of_memory_is_no_damage(monkeypatch):
    def fail(file):
        raise MemoryError

    monkeypatch.setattr('paco_seg.engine.media.check_complete', fail)
    with pytest.raises(MemoryError):
        damage_of('a.png')


def test_of_many_damaged_images_some_are_named():
    error = refusal_of_damaged({f'{i}.png': 'cut' for i in range(SHOWN + 2)}, 4)
    assert str(error).startswith('IMAGES: expected images that can be decoded to their end, got 7')
    assert f'{SHOWN - 1}.png (cut) and 2 more. The other 4 are predicted' in str(error)
    assert 'The other' not in str(refusal_of_damaged({'a.png': 'cut'}, 0))
