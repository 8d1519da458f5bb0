"""Comparison of two training runs by their checkpoints."""

from pathlib import Path

import torch

from paco_seg.engine.checkpoint import load_from_local

# Everything a run continues with; the rest is logs, names and times.
STATE = ('state_dict', 'optimizer', 'param_schedulers')


def assert_same_run(straight: Path, resumed: Path) -> None:
    one, two = load_from_local(straight), load_from_local(resumed)
    for part in STATE:
        _assert_equal(one[part], two[part], part)
    for key in ('iter', 'epoch', 'seed'):
        assert one['meta'][key] == two['meta'][key]
    # The losses that both runs saw after the resume.
    loss = [state['message_hub']['log_scalars']['train/loss'].data[0][-1] for state in (one, two)]
    assert loss[0] == loss[1]


def _assert_equal(one: object, two: object, path: str) -> None:
    assert type(one) is type(two), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            _assert_equal(one[key], two[key], f'{path}.{key}')
    elif isinstance(one, list):
        assert len(one) == len(two), path
        for i, (left, right) in enumerate(zip(one, two, strict=True)):
            _assert_equal(left, right, f'{path}[{i}]')
    else:
        assert one == two, path
