import cv2
import numpy as np
import pytest

from paco_seg.engine.media import find_media


def test_names_that_would_collide_keep_their_suffix(tmp_path):
    for name in ('a.png', 'a.jpg', 'b.png', '.c.png', 'sub/a.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    assert find_media(tmp_path).names == ('a_jpg', 'a_png', 'b', 'sub/a')


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
