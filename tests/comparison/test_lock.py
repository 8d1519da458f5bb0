"""Two comparisons in one folder: the second one is told, nothing is lost."""

import subprocess
import sys
import threading

import pytest

from paco_seg.comparison import lock
from paco_seg.comparison.lock import only_one

HOLD = """
import sys
from pathlib import Path
from paco_seg.comparison.lock import only_one
with only_one(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_let_go_when_it_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, 'PATIENCE', 0.0)
    with subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == 'held\n'
        expected = f'--out: expected a folder of no running comparison.*process {other.pid} on'
        with pytest.raises(ValueError, match=expected), only_one(tmp_path):
            pass
        other.kill()
        other.wait()
    with only_one(tmp_path):
        pass
    with only_one(tmp_path):  # let go at the end of the block as well
        pass


def test_what_a_killed_comparison_leaves_running_is_waited_for(tmp_path):
    with subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == 'held\n'
        threading.Timer(0.3, other.kill).start()
        with only_one(tmp_path):
            assert other.wait() != 0


def test_a_folder_with_files_of_somebody_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'train.txt').write_text('mine')
    (tmp_path / 'notes.txt').write_text('mine')
    expected = r"^--out: expected a new folder, .*, got '.*' with 'data' and 1 more, which could"
    with pytest.raises(ValueError, match=expected), only_one(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'notes.txt']


def test_a_folder_with_hidden_files_alone_is_as_good_as_empty(tmp_path):
    (tmp_path / '.DS_Store').touch()
    with only_one(tmp_path):
        (tmp_path / 'results.json').touch()
    with only_one(tmp_path):
        pass


@pytest.mark.parametrize(
    ('content', 'is_own'), [('{"systems": []}', True), ('{"methods": []}', True), ('{}', False)]
)
def test_a_copy_without_hidden_files_is_one_by_its_results(tmp_path, content, is_own):
    (tmp_path / 'results.json').write_text(content)
    if is_own:
        with only_one(tmp_path):
            pass
    else:
        with pytest.raises(ValueError, match=r'copied without \.lock add that'), only_one(tmp_path):
            pass
