import os
import signal
import sys

import pytest

from paco_seg.engine.parallel import check_jobs, map_in_parallel


def add(shared, task):
    return shared[0] + task


def test_the_order_is_kept(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    assert list(map_in_parallel(add, [10], range(7), jobs=2, chunksize=2)) == list(range(10, 17))
    assert '7/7' in capsys.readouterr().err


def test_a_redirected_log_holds_no_progress_bar(capsys):
    assert list(map_in_parallel(add, [10], range(3), jobs=1)) == [10, 11, 12]
    assert capsys.readouterr().err == ''


def test_no_tasks_need_no_process():
    assert list(map_in_parallel(add, [10], [], jobs=2)) == []


@pytest.mark.parametrize('jobs', [0, -1])
def test_fewer_than_one_process_is_refused(jobs):
    with pytest.raises(ValueError, match=f'^--jobs: expected at least 1 process, got {jobs}. Le'):
        check_jobs(jobs)


def end_process(shared, task):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, 'SIGKILL'), reason='no such signal')
def test_a_process_that_is_killed_ends_the_work():
    with pytest.raises(
        ChildProcessError, match=r'^--jobs: expected 2 processes that run to their end'
    ):
        list(map_in_parallel(end_process, None, range(9), jobs=2))


@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'), reason='no such limit')
def test_only_cores_that_may_be_used_count(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {3, 5})
    assert check_jobs(None) == 2


def test_left_out_is_one_per_core():
    assert check_jobs(None) >= 1
    assert check_jobs(3) == 3
