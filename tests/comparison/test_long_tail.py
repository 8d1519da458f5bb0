"""Per-class results by frequency: means, picture, and runs that do not belong together."""

import json

import numpy as np
import pytest
from PIL import Image

from paco_seg import cli
from paco_seg.comparison import long_tail, plots
from paco_seg.core.frequency import ClassFrequency, save_class_frequency

CLASSES = ['sky', 'road', 'tree', 'car']
FREQUENCY = dict(group=['head', 'common', 'common', 'tail'], images=[90, 9, 5, 0])


@pytest.fixture
def write(tmp_path):
    def write(name, iou, **columns):
        path = tmp_path / f'{name}.json'
        per_class = {'class': CLASSES, **columns, 'IoU': iou}
        path.write_text(json.dumps(dict(metrics=dict(mIoU=1.0), per_class=per_class)))
        return path

    return write


def test_prints_and_draws_group_means(write, tmp_path, capsys):
    first = write('ce', [80, 40, 20, 10], **FREQUENCY)
    second = write('gpaco', [79, 50, None, 30], **FREQUENCY)
    out = tmp_path / 'pictures/all.png'
    cli.run(['plot', f'CE={first}', str(second), '-o', str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'CE     all  37.50  head  80.00  common  30.00  tail  10.00'
    # A class that never occurs counts in no mean.
    assert lines[1] == 'gpaco  all  53.00  head  79.00  common  50.00  tail  30.00'
    assert lines[2] == str(out)
    picture = np.asarray(Image.open(out).convert('L'))
    assert picture.shape == (702, 1690)
    assert (picture < 128).any()


def test_frequencies_may_come_from_a_file(write, tmp_path, capsys):
    frequency = ClassFrequency(tuple(CLASSES), (90, 50, 5, 0), None, 1000)
    save_class_frequency(frequency, tmp_path / 'frequency.json')
    runs = [str(write('a', [1, 2, 3, 4])), str(write('b', [2, 3, 4, 5]))]
    with pytest.raises(ValueError, match=r'a\.json: per_class: expected the columns group and'):
        long_tail.frequencies([long_tail.read_run(run) for run in runs])
    options = ['--frequency-file', str(tmp_path / 'frequency.json')]
    cli.run(['plot', *runs, *options, '-o', str(tmp_path / 'out.png')])
    # No class is in a tenth of the images: no head group.
    assert capsys.readouterr().out.splitlines()[0] == 'a  all   2.50  common   1.50  tail   3.50'
    refused(
        capsys, [*runs, *options, '--by', 'pixels'], "--frequency-file: expected 'pixels' counts"
    )


def refused(capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        cli.main(['plot', *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_bad_runs_are_named(write, tmp_path, capsys):
    good = str(write('good', [1, 2, 3, 4], **FREQUENCY))
    refused(capsys, [good, str(tmp_path / 'none.json')], 'runs: expected a JSON file')
    refused(
        capsys,
        [good, good, '--metric', 'Fscore'],
        'good.json: per_class: expected the columns class',
    )
    other = tmp_path / 'other.json'
    other.write_text(json.dumps(dict(per_class={'class': ['x'], 'IoU': [1.0]})))
    refused(capsys, [good, str(other)], 'other.json: per_class.class: expected the classes of')
    refused(capsys, [good], 'expected at least two runs')
    (tmp_path / 'lr=0.1').mkdir()
    same = tmp_path / 'lr=0.1/good.json'
    same.write_text((tmp_path / 'good.json').read_text())
    refused(capsys, ['gain', 'other=' + good, good, str(same)], 'runs: expected different names')
    refused(capsys, [good, good, '-o', good], '--out: expected')
    other.write_text('{')
    refused(capsys, [good, str(other)], 'other.json: expected JSON of paco-seg test --out')
    content = (tmp_path / 'good.json').read_text()
    two = {'last': 'iter_9.pth', 'best on mIoU': 'best_mIoU_iter_6.pth'}  # of a work directory
    parts = {name: {**json.loads(content), 'checkpoint': path} for name, path in two.items()}
    other.write_text(json.dumps(parts))
    message = 'about one checkpoint, got last, best on mIoU, which a test of a work directory'
    refused(capsys, [good, str(other)], message)
    refused(capsys, ['confusion', str(other)], message)
    assert json.loads(content)['per_class']['IoU'] == [1, 2, 3, 4]


def test_other_groups_are_refused(write, capsys):
    first = str(write('first', [1, 2, 3, 4], **FREQUENCY))
    moved = {**FREQUENCY, 'group': ['head', 'head', 'common', 'tail']}
    other = str(write('other', [1, 2, 3, 4], **moved))
    refused(capsys, [first, other], 'other.json: per_class.group: expected the values of')
    counted = str(write('counted', [1, 2, 3, 4], **{**FREQUENCY, 'images': [90, 9, 5, 1]}))
    refused(capsys, [first, counted], 'counted.json: per_class.images: expected the values of')


def test_classification_has_its_own_groups(tmp_path, capsys):
    for name, accuracy in (('ce', [90, 50, 10]), ('paco', [80, 60, 40])):
        per_class = dict(
            accuracy=accuracy, train_images=[100, 30, 3], group=['many', 'medium', 'few']
        )
        content = dict(per_class={'class': ['a', 'b', 'c'], **per_class})
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    files = [str(tmp_path / f'{name}.json') for name in ('ce', 'paco')]
    cli.run(['plot', *files, '-o', str(tmp_path / 'out.png')])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'ce    all  50.00  many  90.00  medium  50.00  few  10.00'
    assert (tmp_path / 'out.png').stat().st_size > 1000


def test_tasks_are_not_mixed(write, tmp_path, capsys):
    seg = str(write('seg', [1, 2, 3, 4], **FREQUENCY))
    content = {'class': CLASSES, 'accuracy': [1, 2, 3, 4], 'train_images': [9, 9, 9, 9]}
    (tmp_path / 'cls.json').write_text(json.dumps(dict(per_class=content)))
    refused(capsys, [seg, str(tmp_path / 'cls.json')], 'Compare runs of one task')


@pytest.fixture
def drawn(monkeypatch):
    """The figure that ``draw`` would save."""
    figures = []
    monkeypatch.setattr(plots, 'save', lambda figure, path: figures.append(figure))

    def draw(*runs):
        read = [long_tail.read_run(str(run)) for run in runs]
        frequency = long_tail.frequencies(read)
        long_tail.draw('out.png', read, 'IoU', 'images', frequency)
        return figures[-1].axes

    return draw


def test_points_have_names_and_groups_their_colours(write, drawn):
    columns = dict(group=['common', 'common', 'tail', 'tail'], images=[90, 9, 5, 2])
    gains, bars = drawn(*(write(n, [1, 2, None, 4], **columns) for n in 'abcdef'))
    # a class without a gain has no point to name
    assert sorted(text.get_text() for text in gains.texts) == ['car', 'road', 'sky']
    labels = [text.get_text() for text in gains.get_legend().get_texts()]
    assert labels == ['common', 'tail', *'bcdef']  # groups and runs, not their products
    common, tail = gains.get_legend().legend_handles[:2]
    assert (common.get_color(), tail.get_color()) == ('tab:orange', 'tab:red')  # as with a head
    assert [tick.get_text() for tick in bars.get_xticklabels()] == ['all', 'common', 'tail']
    figure = gains.figure
    figure.canvas.draw()
    for axis in (gains, bars):
        legend = axis.get_legend().get_window_extent()
        assert legend.y1 < axis.get_window_extent().y0  # over no bar and no point


def test_many_classes_are_named_where_there_is_room(drawn, tmp_path):
    names = [f'class {i}' for i in range(200)]
    for run in 'ab':
        values = [i * (run == 'b') % 37 for i in range(200)]
        columns = dict(group=['head'] * 200, images=list(range(1, 201)), IoU=values)
        (tmp_path / f'{run}.json').write_text(
            json.dumps(dict(per_class={'class': names, **columns}))
        )
    gains, _ = drawn(tmp_path / 'a.json', tmp_path / 'b.json')
    assert 5 < len(gains.texts) <= long_tail.NAMED_CLASSES


def test_groups_run_from_frequent_to_rare():
    # Not in the order of the classes, and of either field; a group may be empty.
    assert long_tail.groups_of({'group': ['tail', 'head', 'tail']}) == dict(
        head=[1], common=[], tail=[0, 2]
    )
    assert long_tail.groups_of({'group': ['few', 'many']}) == dict(many=[1], medium=[], few=[0])
    assert list(long_tail.groups_of({'group': ['own', 'other']})) == ['own', 'other']
    per_class = {'class': ['a', 'b', 'c'], 'group': ['tail', 'head', 'tail']}
    assert long_tail.named_groups(per_class) == dict(head=['b'], tail=['a', 'c'])
    assert long_tail.named_groups({}) == {}
