"""Generated data sets: complete or absent, never over somebody else's folder."""

import json

import numpy as np
import pytest

from paco_seg.comparison.demo_data.writing import write_image, write_set


def writer(text):
    def write(root):
        (root / 'a.txt').write_text(text)
        (root / 'statistics.json').write_text(json.dumps({'settings': {'seed': 1}}))

    return write


def test_writes_once_and_replaces_by_force(tmp_path, capsys):
    out = tmp_path / 'new' / 'set'
    write_set(out, {'seed': 1}, writer('first'), force=False)
    write_set(out, {'seed': 1}, writer('second'), force=False)
    assert 'nothing to do' in capsys.readouterr().out
    assert (out / 'a.txt').read_text() == 'first'
    (out / 'stale.txt').write_text('')
    write_set(out, {'seed': 1}, writer('third'), force=True)
    assert sorted(path.name for path in out.iterdir()) == ['a.txt', 'statistics.json']
    assert (out / 'a.txt').read_text() == 'third'
    assert [path.name for path in out.parent.iterdir()] == ['set']


def test_refuses_other_settings_and_other_folders(tmp_path):
    out = tmp_path / 'set'
    write_set(out, {'seed': 1}, writer('first'), force=False)
    with pytest.raises(ValueError, match=r"expected a set with {'seed': 2}, got one with .*1}"):
        write_set(out, {'seed': 2}, writer('second'), force=False)
    (tmp_path / 'mine').mkdir()
    with pytest.raises(ValueError, match='expected a new folder or an earlier demo set'):
        write_set(tmp_path / 'mine', {'seed': 1}, writer('second'), force=True)


def test_interruption_keeps_what_was_there(tmp_path):
    out = tmp_path / 'set'
    with pytest.raises(ZeroDivisionError):
        write_set(out, {'seed': 1}, lambda root: 1 / 0, force=False)
    assert list(tmp_path.iterdir()) == []
    write_set(out, {'seed': 1}, writer('first'), force=False)
    with pytest.raises(ZeroDivisionError):
        write_set(out, {'seed': 1}, lambda root: 1 / 0, force=True)
    assert (out / 'a.txt').read_text() == 'first'


def test_refused_image_is_an_error(tmp_path):
    write_image(tmp_path / 'x.png', np.zeros((4, 4), 'u1'))
    assert (tmp_path / 'x.png').exists()
    with pytest.raises(OSError, match=r'missing/x\.png.*Check disk and rights'):
        write_image(tmp_path / 'missing' / 'x.png', np.zeros((4, 4), 'u1'))
