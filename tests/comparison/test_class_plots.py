"""Pictures of classes: names are there, cover nothing, and values are where they belong."""

from itertools import pairwise

import numpy as np
import pytest

from paco_seg.comparison import class_plots

# Small names, as of 150 classes; those cost seconds to lay out.
NAMES = [f'class {number}' for number in range(45)]


@pytest.fixture
def figure(monkeypatch):
    """The figure that would be saved."""
    figures = []
    monkeypatch.setattr(class_plots, 'save', lambda figure, path: figures.append(figure))
    return figures


def extents(figure, texts):
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts]


def test_a_matrix_of_many_classes_names_all_without_overlap(figure):
    values = np.arange(45.0**2).reshape(45, 45)
    class_plots.draw_matrix(
        'x.png',
        values,
        classes=NAMES,
        title='title',
        labels=('label', 'prediction'),
        limits=(0, 100),
        cmap='Blues',
        form='.0f',
    )
    axis = figure[0].axes[0]
    np.testing.assert_array_equal(axis.images[0].get_array(), values)
    assert [tick.get_text() for tick in axis.get_yticklabels()] == NAMES
    boxes = extents(figure[0], axis.get_yticklabels())
    assert all(a.y0 >= b.y1 for a, b in pairwise(boxes))
    assert not axis.texts


def test_a_small_matrix_has_its_numbers(figure):
    values = np.array([[1.0, 0.2], [np.nan, -0.5]])
    class_plots.draw_matrix(
        'x.png',
        values,
        classes=['a', 'b'],
        title='',
        labels=('', ''),
        limits=(-1, 1),
        cmap='RdBu_r',
        form='.1f',
    )
    # (column, row); what is unknown has none
    found = {text.get_position(): text.get_text() for text in figure[0].axes[0].texts}
    assert found == {(0, 0): '1.0', (1, 0): '0.2', (1, 1): '-0.5'}


@pytest.mark.parametrize('runs', [1, 3])
def test_gains_are_in_the_rows_of_their_classes(figure, runs):
    gains = {f'run {n}': np.arange(45.0) * (n + 1) for n in range(runs)}
    groups = dict(head=[3, 1], common=[], tail=[i for i in range(44, -1, -1) if i not in (3, 1)])
    class_plots.draw_gain('x.png', gains, classes=NAMES, groups=groups, xlabel='points')
    axis = figure[0].axes[0]
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    assert names[:4] == ['class 3', 'class 1', 'class 44', 'class 43']
    for number in range(runs):
        line = next(line for line in axis.lines if line.get_label() == f'run {number}')
        assert line.get_xdata()[:3].tolist() == [3.0 * (number + 1), number + 1, 44 * (number + 1)]
        assert list(line.get_ydata()) == list(range(45))
    assert [text.get_text() for text in axis.texts] == ['head', 'tail']
    boxes = extents(figure[0], axis.get_yticklabels())
    assert all(a.y0 >= b.y1 for a, b in pairwise(boxes))


def test_of_many_classes_the_largest_gains_are_shown(figure, monkeypatch):
    monkeypatch.setattr(class_plots, 'NAMED', 2)
    gains = {'b': np.array([1.0, -9.0, np.nan, 4.0])}
    class_plots.draw_gain('x.png', gains, classes=list('wxyz'), groups={}, xlabel='points')
    assert [tick.get_text() for tick in figure[0].axes[0].get_yticklabels()] == ['x', 'z']


def test_names_among_the_points_do_not_cover_each_other(figure):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(45), 4)
    centers = rng.normal(0, 4, (45, 2))
    class_plots.draw_points(
        'x.png',
        centers[labels] + rng.normal(0, 1, (180, 2)),
        labels,
        classes=NAMES,
        centers=centers,
        title='',
    )
    axis = figure[0].axes[0]
    boxes = extents(figure[0], axis.texts)
    assert 10 < len(boxes) < 45
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])
    (legend,) = figure[0].legends
    assert [text.get_text() for text in legend.get_texts()] == [*NAMES, 'center']
    box = legend.get_window_extent()
    assert box.y1 <= axis.get_window_extent().y0
    assert box.y0 >= 0
    assert box.x1 <= figure[0].bbox.x1
    styles = {(h.get_marker(), tuple(h.get_color())) for h in legend.legend_handles}
    assert len(styles) == 46
