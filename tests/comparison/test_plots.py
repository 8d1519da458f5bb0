"""Pictures: written completely, in the colours and order that were asked for."""

import sys

import cv2
import numpy as np
import pytest
from helpers.file_names import NOT_UTF8, ends_well

from paco_seg.comparison import plots, user_plots


def test_label_maps_show_the_palette(tmp_path):
    cv2.imwrite(str(tmp_path / 'i.png'), np.full((8, 8, 3), (255, 0, 0), 'u1'))  # blue, BGR
    cv2.imwrite(str(tmp_path / 'l.png'), np.ones((8, 8), 'u1'))
    out = tmp_path / 'out.png'
    plots.draw_label_maps(
        out,
        images=[tmp_path / 'i.png'],
        columns={'truth': [tmp_path / 'l.png']},
        classes=['a', 'b'],
        palette=[[0, 0, 0], [200, 100, 50]],
    )
    pixels = cv2.imread(str(out))[..., ::-1].reshape(-1, 3)
    for colour in ([0, 0, 255], [200, 100, 50]):
        assert (pixels == colour).all(axis=1).sum() > 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ['i.png', 'l.png', 'out.png']


def test_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.png: expected a readable image'):
        plots.draw_label_maps(
            tmp_path / 'out.png',
            images=[tmp_path / 'none.png'],
            columns={},
            classes=['a'],
            palette=[[0, 0, 0]],
        )
    assert not (tmp_path / 'out.png').exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='file names are text on other systems')
def test_an_image_whose_name_is_not_utf8(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((8, 8, 3), 'u1'))
    path = (tmp_path / 'a.png').rename(tmp_path / f'{NOT_UTF8}.png')
    assert ends_well(plots.read, path, cv2.IMREAD_COLOR)


def test_by_frequency_runs_from_frequent_to_rare():
    figure = plots.by_frequency_figure(
        classes=['rare', 'frequent', 'absent'],
        shares=[0.1, 0.9, 0.0],
        values={'CE': [[10, 80, 5], [30, 90, None]]},
        xlabel='x',
        ylabel='y',
    )
    axis = figure.axes[0]
    line = axis.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [0, 1])
    np.testing.assert_allclose(line.get_ydata(), [85, 20])
    assert [label.get_text() for label in axis.get_xticklabels()] == ['90.0%', '10.0%']


def test_equal_runs_have_no_bars_below_zero(tmp_path):
    # 0.1 three times has the mean 0.10000000000000002
    figure = plots.by_frequency_figure(
        classes=['a'],
        shares=[1.0],
        values={'CE': [[0.1]] * 3},
        xlabel='x',
        ylabel='y',
    )
    plots.save(figure, tmp_path / 'out.png')
    assert (tmp_path / 'out.png').exists()


def test_names_of_classes_of_similar_frequency_stand_apart(monkeypatch):
    drawn = []
    monkeypatch.setattr(user_plots, 'save', lambda figure, path: drawn.append(figure))
    user_plots.draw_gains(
        'gain.png',
        classes=['rare', 'sign', 'fence', 'absent'],
        frequency=[10, 7439, 7415, 0],
        gains={'A': [3.0, 1.0, None, 5.0]},
        xlabel='x',
        ylabel='y',
    )
    axis = drawn[0].axes[0]
    np.testing.assert_allclose(axis.lines[1].get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(axis.lines[1].get_ydata(), [1, np.nan, 3])
    assert [label.get_text() for label in axis.get_xticklabels()] == ['7.4k', '7.4k', '10']


def test_many_classes_have_a_line_of_means_around():
    values = np.arange(100.0)
    values[50] = np.nan
    figure = plots.by_frequency_figure(
        classes=[str(number) for number in range(100)],
        shares=list(range(100, 0, -1)),
        values={'CE': [values.tolist()]},
        xlabel='x',
        ylabel='y',
    )
    axis = figure.axes[0]
    assert axis.xaxis_inverted()
    points, line = axis.lines
    np.testing.assert_array_equal(points.get_ydata(), values)
    expected = [np.nanmean(values[max(0, c - 10) : c + 11]) for c in range(100)]
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_curves_have_one_line_per_run(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plots, 'save', lambda figure, path: figures.append(figure))
    run = [[1, 2.0], [2, 1.0]]
    plots.draw_curves(
        tmp_path / 'out.png', {'loss': {'a': [run, run], 'b': [run]}, 'mIoU': {'a': [run]}}
    )
    loss, _ = figures[0].axes
    assert len(loss.lines) == 3
    colours = [line.get_color() for line in loss.lines]
    assert colours[0] == colours[1] != colours[2]
