import json

import numpy as np
import pytest
from PIL import Image
from tools.analysis import plot_long_tail

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
    plot_long_tail.main([f'CE={first}', str(second), '-o', str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'CE     all  37.50  head  80.00  common  30.00  tail  10.00'
    # A class that never occurs counts in no mean.
    assert lines[1] == 'gpaco  all  53.00  head  79.00  common  50.00  tail  30.00'
    assert lines[2] == str(out)
    picture = np.asarray(Image.open(out).convert('L'))
    assert picture.shape == (675, 1950)
    assert (picture < 128).any()


def test_frequencies_may_come_from_a_file(write, tmp_path, capsys):
    frequency = ClassFrequency(tuple(CLASSES), (90, 50, 5, 0), None, 1000)
    save_class_frequency(frequency, tmp_path / 'frequency.json')
    runs = [str(write('a', [1, 2, 3, 4])), str(write('b', [2, 3, 4, 5]))]
    with pytest.raises(ValueError, match=r'a\.json: per_class: expected the columns group and'):
        plot_long_tail.main(runs)
    options = ['--frequency-file', str(tmp_path / 'frequency.json')]
    plot_long_tail.main([*runs, *options, '-o', str(tmp_path / 'out.png')])
    # No class is in a tenth of the images: no head group.
    assert capsys.readouterr().out.splitlines()[0] == 'a  all   2.50  common   1.50  tail   3.50'
    with pytest.raises(ValueError, match=r"--frequency-file: expected 'pixels' counts"):
        plot_long_tail.main([*runs, *options, '--by', 'pixels'])


def test_bad_runs_are_named(write, tmp_path, capsys):
    good = str(write('good', [1, 2, 3, 4], **FREQUENCY))
    with pytest.raises(FileNotFoundError, match=r'runs: expected a JSON file .*none\.json'):
        plot_long_tail.main([good, str(tmp_path / 'none.json')])
    with pytest.raises(ValueError, match=r'good\.json: per_class: expected the columns class'):
        plot_long_tail.main([good, good, '--metric', 'Fscore'])
    other = tmp_path / 'other.json'
    other.write_text(json.dumps(dict(per_class={'class': ['x'], 'IoU': [1.0]})))
    with pytest.raises(ValueError, match=r'other\.json: per_class\.class: expected the classes of'):
        plot_long_tail.main([good, str(other)])
    with pytest.raises(SystemExit):
        plot_long_tail.main([good])
    assert 'expected at least two runs' in capsys.readouterr().err
