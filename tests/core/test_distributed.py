from __future__ import annotations

import pytest
import torch
import torch.multiprocessing
from helpers import gloo_workers

from paco_seg.core import parametric_contrastive_loss
from paco_seg.core.distributed import all_reduce_sum, gather_rows, rank, world_size


class TestOneProcess:
    def test_everything_is_the_identity(self):
        rows = torch.ones(2, 3, requires_grad=True)
        (gathered,) = gather_rows(rows)
        assert gathered is rows
        assert all_reduce_sum(rows) is rows
        assert (rank(), world_size()) == (0, 1)


@pytest.fixture(scope='module')
def seen(tmp_path_factory):
    """What the two processes of :mod:`gloo_workers` saw."""
    folder = tmp_path_factory.mktemp('gloo')
    torch.multiprocessing.spawn(gloo_workers.run, (str(folder),), nprocs=2)
    return [torch.load(folder / f'{process}.pt') for process in range(2)]


class TestTwoProcesses:
    def test_rank_and_world_size(self, seen):
        assert [(s['rank'], s['world_size']) for s in seen] == [(0, 2), (1, 2)]

    @pytest.mark.parametrize('case', gloo_workers.COUNTS)
    def test_gather_rows(self, seen, case):
        wanted = [gloo_workers.rows_of_rank(case, process) for process in range(2)]
        for process in range(2):
            gathered, grad = seen[process][case]
            for actual, rows in zip(gathered, wanted, strict=True):
                assert torch.equal(actual, rows)
            # Ranks 0 and 1 send factors 1 and 2.
            count = gloo_workers.COUNTS[case][process]
            own = 3 * (10.0 * process + torch.arange(count))
            assert torch.equal(grad, own.double().unsqueeze(1).expand(-1, 2))

    def test_gather_rows_of_integers(self, seen):
        for process in range(2):
            assert [part.tolist() for part in seen[process]['integers']] == [[0], [0, 1]]

    def test_all_reduce_sum_leaves_its_argument(self, seen):
        for process in range(2):
            total, value = seen[process]['all_reduce_sum']
            assert total.tolist() == [3.0]
            assert value.tolist() == [1.0 + process]

    def test_queues_are_equal_and_in_rank_order(self, seen):
        first, second = (s['queue'] for s in seen)
        assert all(torch.equal(first[name], second[name]) for name in first)
        # Written in order: 100 | 10, 110, 111 | 20, 21, 120, 121, 122 into 5 slots.
        assert first['labels'].tolist() == [21, 120, 121, 122, 20]
        assert int(first['position']) == 4

    def test_loss_over_all_processes_equals_one_process(self, seen):
        parts = [gloo_workers.loss_of_rank(process) for process in range(2)]
        rows, labels, logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        rows.requires_grad_()
        loss = parametric_contrastive_loss(
            rows, labels, logits, alpha=0.3, temperature=0.2, reduction='sum', impl='dense'
        )
        loss.backward()
        torch.testing.assert_close(sum(s['loss'][0] for s in seen), loss.detach())
        torch.testing.assert_close(torch.cat([s['loss'][1] for s in seen]), rows.grad)
