import numpy as np
import pytest

from paco_seg.comparison.document import Picture
from paco_seg.comparison.gallery import (
    beside,
    differences,
    overlay,
    palette_of,
    write_gallery,
)
from paco_seg.engine.pictures import write_picture


def test_colours_of_classes_differ_and_those_of_the_data_set_come_first():
    assert len({tuple(colour) for colour in palette_of(150).tolist()}) == 150
    assert palette_of(2, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert palette_of(3, [[1, 2, 3]]).shape == (3, 3)


def test_overlay_tints_in_the_colour_of_the_class():
    image = np.zeros((1, 2, 3), np.uint8)
    painted = overlay(image, np.array([[0, 1]]), np.array([[255, 0, 0], [0, 0, 255]], np.uint8))
    assert painted[0, 0].tolist() == [0, 0, 140]  # BGR: 0.55 of red
    assert painted[0, 1].tolist() == [140, 0, 0]


def test_differences_are_white():
    found = differences(np.array([[0, 1]]), np.array([[0, 2]]))
    assert found[0].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(('side', 'shown'), [(48, 192), (300, 300), (1920, 960)])
def test_panels_have_a_size_to_look_at(side, shown):
    panel = np.zeros((side // 2, side, 3), np.uint8)
    picture = beside({'a': panel, 'a title that is far too long for a panel ' * 5: panel})
    assert picture.shape[1] == 2 * shown


def test_a_panel_may_be_a_line():
    assert beside({'a': np.zeros((1, 5000, 3), np.uint8)}).shape[1] == 960


def test_the_page_names_its_pictures_and_escapes_the_rest(tmp_path):
    write_picture(tmp_path / 'pictures/a b.png', np.zeros((4, 4, 3), np.uint8))
    pictures = [Picture('pictures/a b.png', '<b>')]
    write_gallery(tmp_path, 'T', ['about `x`'], pictures, [('road & <rail>', (1, 2, 255))])
    page = (tmp_path / 'index.html').read_text()
    assert 'src="pictures/a%20b.png"' in page
    assert '&lt;b&gt;' in page
    assert 'background: #0102ff' in page
    assert 'road &amp; &lt;rail&gt;' in page
    assert 'data:' not in page
