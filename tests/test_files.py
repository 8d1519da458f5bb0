"""A file is complete or absent, and an input is never the output."""

from __future__ import annotations

import json
import os

import pytest

from paco_seg.files import check_output, write_json, written_aside


def test_replaces_only_after_the_block(tmp_path):
    path = tmp_path / 'new' / 'a.png'
    with written_aside(path) as unfinished:
        unfinished.write_bytes(b'1')
        assert unfinished.suffix == '.png'
        assert not path.exists()
    assert path.read_bytes() == b'1'
    assert os.listdir(path.parent) == ['a.png']


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'a.json').symlink_to(tmp_path / 'shared/b.json')
    write_json(tmp_path / 'a.json', 1)
    assert (tmp_path / 'a.json').is_symlink()
    assert os.listdir(tmp_path / 'shared') == ['b.json']


def test_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    write_json(path, {'old': 1})

    def write_half() -> None:
        with written_aside(path) as unfinished:
            unfinished.write_text('{"ne')
            raise OSError('No space left on device')

    with pytest.raises(OSError, match='No space'):
        write_half()
    assert json.loads(path.read_text()) == {'old': 1}
    assert os.listdir(tmp_path) == ['a.json']


def test_block_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / 'a'):
        pass


def test_refuses_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match='existing folder'), written_aside(tmp_path):
        pass
    with pytest.raises(ValueError, match='--out: expected a file, got the folder'):
        check_output(tmp_path)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes with names on this system')
def test_a_device_or_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match='a device or a pipe'), written_aside(pipe):
        pass
    assert pipe.is_fifo()
    for path in (pipe, '/dev/null'):
        with pytest.raises(ValueError, match=r'--out: expected a file, got .* a device or a pipe'):
            check_output(path)


def test_refuses_an_input(tmp_path):
    source = tmp_path / 'own.py'
    source.write_text('')
    (tmp_path / 'link.py').symlink_to(source)
    os.link(source, tmp_path / 'hard.py')
    for name in ('own.py', 'x/../own.py', 'link.py', 'hard.py'):
        with pytest.raises(ValueError, match='another file than the input'):
            check_output(tmp_path / name, inputs=[source])
    check_output(tmp_path / 'other.py', inputs=[source])


def test_refuses_suffixes_and_places(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match=r'ends in \.pth or \.pt, got'):
        check_output(tmp_path / 'x.py', suffixes=['.pth', '.pt'])
    with pytest.raises(ValueError, match='--out: expected a folder that can be written to'):
        check_output(tmp_path / 'file' / 'x.json')
    with pytest.raises(ValueError, match='expected a folder that can be written to'):
        check_output('/proc/nope/x.json')


def test_a_name_of_all_the_bytes_there_are(tmp_path):
    path = tmp_path / ('ä' * 125 + '.json')
    write_json(path, 1)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, 'O_ACCMODE'), reason='no flags of open files')
def test_what_is_flushed_is_open_for_writing(tmp_path, monkeypatch):
    import fcntl

    flags = []
    monkeypatch.setattr(os, 'fsync', lambda file: flags.append(fcntl.fcntl(file, fcntl.F_GETFL)))
    write_json(tmp_path / 'a.json', 1)
    assert [flag & os.O_ACCMODE for flag in flags] == [os.O_RDWR]
