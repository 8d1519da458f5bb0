"""A command of a cell never outlives the process that waits for it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paco_seg.comparison.process import ending_by_exception, run_command, watch_command

ROOT = Path(__file__).parents[2]
# Writes its own process id and that of a child of its own, then waits for a long time.
ENDLESS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
with open('pids.part', 'w') as file:
    file.write(f'{os.getpid()} {child.pid}')
os.rename('pids.part', 'pids')
time.sleep(600)
"""
# How a program begins whose commands are new processes, or forks with the argument ``forks``.
BEGINNING = """
import os, pathlib, signal, sys
from paco_seg.comparison.process import allow_forks, run_command
if sys.argv[1:] == ['forks']:
    allow_forks()
"""
WAYS = dict(argvalues=[(), ('forks',)], ids=['new', 'forked'])
# A job in the background of a shell may be told to ignore Ctrl-C; the parent here is in front.
PARENT = f"""{BEGINNING}
signal.signal(signal.SIGINT, signal.default_int_handler)
run_command(('endless',), pathlib.Path('log'))
"""
# Computes, runs a command that does so too, and starts without asking for its name.
UNGUARDED = f"""{BEGINNING}
import torch
torch.rand(100_000).exp()
print('once', flush=True)
run_command(('two_threads',), pathlib.Path('log'))
"""
TWO_THREADS = """
import torch
print(torch.get_num_threads() > 1, len(torch.rand(100_000).exp()))
"""


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def runs(pid):
    """Whether a process is there and no zombie that nobody has collected yet."""
    try:
        os.kill(pid, 0)
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture(params=WAYS['argvalues'], ids=WAYS['ids'])
def endless(tmp_path, request):
    """A process that waits for an endless command: it, and the ids of the command's processes."""
    (tmp_path / 'endless.py').write_text(ENDLESS)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    parent = subprocess.Popen(
        [sys.executable, '-c', PARENT, *request.param],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pids = []
    try:
        wait_until(lambda: (tmp_path / 'pids').exists())
        pids = [int(pid) for pid in (tmp_path / 'pids').read_text().split()]
        yield parent, pids
    finally:
        for pid in pids:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
        parent.kill()
        parent.wait()


@pytest.mark.skipif(sys.platform != 'linux', reason='asks /proc')
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT', 'SIGHUP'])
def test_ending_the_parent_ends_the_command_and_its_children(endless, name):
    parent, pids = endless
    assert all(runs(pid) for pid in pids)
    parent.send_signal(getattr(signal, name))
    assert parent.wait(60) != 0
    wait_until(lambda: not any(runs(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != 'linux', reason='PR_SET_PDEATHSIG')
def test_killing_the_parent_ends_the_command(endless):
    parent, (command, _) = endless
    assert runs(command)
    parent.kill()
    parent.wait()
    wait_until(lambda: not runs(command))


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        (tmp_path / 'process_program.py').write_text(text)
        return 'process_program'

    return write


def test_output_arguments_and_memory(program, tmp_path):
    module = program('import sys\nprint(__name__, sys.argv[1:])\nsys.exit()')
    run_command((module, 'a', '--b'), tmp_path / 'log.log')
    lines = (tmp_path / 'log.log').read_text().splitlines()
    assert lines == [f'python -m {module} a --b', "__main__ ['a', '--b']"]
    assert '"peak_memory_mib": ' in (tmp_path / 'log.json').read_text()


@pytest.mark.parametrize(
    ('text', 'status', 'shown'),
    [
        ('print(7)\nraise SystemExit(5)', 5, '7'),
        ("raise ValueError('too small')", 1, 'ValueError: too small'),
    ],
)
def test_failure_shows_the_end_of_the_log(program, tmp_path, text, status, shown):
    module = program('\n'.join(['for i in range(50): print("line", i)', text]))
    with pytest.raises(ChildProcessError) as error:
        run_command((module, 'x'), tmp_path / 'log.log')
    message = str(error.value)
    assert message.startswith(f'{module} x: expected exit status 0, got {status}. The end of ')
    assert shown in message.splitlines()[-1]
    assert 'line 1\n' not in message
    assert not (tmp_path / 'log.json').exists()


def test_failure_at_a_limit_on_the_size_of_files_is_said(program, tmp_path, limit_file_size):
    module = program('while True: print("line")')
    with (
        limit_file_size(512),
        pytest.raises(ChildProcessError, match=r'File too large .* more than 512 bytes'),
    ):
        run_command((module,), tmp_path / 'log.log')


def test_handlers_are_those_of_before(program, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run_command((program('print(1)'),), tmp_path / 'log.log')
    assert signal.getsignal(signal.SIGTERM) == before


def test_closing_ends_the_command(program, tmp_path):
    module = program('import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)')
    steps = watch_command((module,), tmp_path / 'log.log')
    log = tmp_path / 'log.log'
    while not log.exists() or len(log.read_text().splitlines()) < 2:
        next(steps)
    pid = int(log.read_text().splitlines()[1])
    steps.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize('words', **WAYS)
def test_a_program_may_compute_and_needs_no_guard(tmp_path, words):
    (tmp_path / 'two_threads.py').write_text(TWO_THREADS)
    (tmp_path / 'program.py').write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, 'program.py', *words],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '2', 'MKL_NUM_THREADS': '2'},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, 'once\n'), done.stderr
    assert (tmp_path / 'log').read_text().splitlines()[1] == 'True 100000'


@pytest.mark.parametrize('words', **WAYS)
def test_modules_and_folder_are_those_of_now(tmp_path, words):
    """Not those of the folder in which the program started."""
    for name in ('before', 'now'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'which.py').write_text(f'import os\nprint({name!r}, os.getcwd())')
    code = f"""{BEGINNING}
sys.path.append(pathlib.Path('not a text'))
os.chdir('../now')
run_command(('which',), pathlib.Path('log'))
"""
    subprocess.run(
        [sys.executable, '-c', code, *words],
        cwd=tmp_path / 'before',
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        check=True,
    )
    line = (tmp_path / 'now' / 'log').read_text().splitlines()[1]
    assert line == f'now {tmp_path / "now"}'


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='ru_maxrss is of the parent too')
def test_the_memory_is_that_of_the_command(tmp_path):
    code = """
import sys
from pathlib import Path
from paco_seg.comparison.process import run_command
taken = bytearray(b'x') * 400 * 2**20
del taken
run_command(('json.tool', '--help'), Path(sys.argv[1]))
"""
    subprocess.run([sys.executable, '-c', code, tmp_path / 'log.log'], check=True, cwd=ROOT)
    assert json.loads((tmp_path / 'log.json').read_text())['peak_memory_mib'] < 400


def test_an_ignored_hangup_stays_ignored():
    """As ``nohup`` starts a program."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_by_exception():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(SystemExit, match='143'):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
