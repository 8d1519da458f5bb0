from __future__ import annotations

import pytest
import torch

from paco_seg.core import KeyQueue
from paco_seg.engine import dropped_keys
from paco_seg.engine.dropped_keys import DroppedKeys


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(dropped_keys, 'print_log', lambda line, **_: lines.append(line))
    monkeypatch.setattr(dropped_keys, 'INTERVAL', 2)
    return lines


def enqueue(queue, *values):
    queue.enqueue(torch.tensor(values).view(-1, 1), torch.zeros(len(values), dtype=torch.long))


def test_says_how_many_when_their_number_has_grown(log):
    queue, dropped = KeyQueue(4, 1), DroppedKeys('model.head.queue')
    enqueue(queue, 1.0, float('nan'))
    dropped.report(queue)
    assert log[0].startswith('model.head.queue: expected finite keys, got 1 so far')
    dropped.report(queue)
    enqueue(queue, float('inf'), float('nan'))
    dropped.report(queue)  # between two looks
    assert len(log) == 1
    dropped.report(queue)
    assert 'got 3 so far' in log[1]


def test_is_silent_without_any(log):
    queue, dropped = KeyQueue(4, 1), DroppedKeys('model.head.queue')
    for _ in range(4):
        enqueue(queue, 1.0)
        dropped.report(queue)
    assert log == []
