"""The short form of every area holds, with the numbers that the tests have time for."""

import json

import pytest
import torch
from stress import areas
from stress.areas import AREAS, run_area, run_areas
from stress.trials import Trials


@pytest.mark.skipif(
    torch.cuda.is_available(), reason='its forks cannot use a GPU; set CUDA_VISIBLE_DEVICES= first'
)
@pytest.mark.parametrize('name', AREAS)
def test_nothing_is_lost(name, tmp_path):
    result = run_area(name, 0, tmp_path, short=True)
    assert result['losses'] == []
    assert sum(result['counts'].values()) > 5


class _Area:
    PROMISE = 'Numbers are even'

    @staticmethod
    def run(trials):
        for number in (2, 3):
            trials.check('numbers', number % 2 == 0, f'{number}')
        with trials.trial('blocks', 'a block'):
            raise KeyError('nothing')
        raise OSError('no disk')


def test_losses_are_counted_written_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(areas, 'import_module', lambda name: _Area)
    out = tmp_path / 'stress.json'
    out.write_text('{"soak": {"kept": 1}}')
    assert run_areas(['damage'], 7, short=True, out=out) == 3
    said = capsys.readouterr().out
    assert 'LOST numbers: 3' in said
    assert 'LOST blocks: a block: KeyError' in said
    assert 'LOST area: ended early: OSError: no disk' in said
    assert said.endswith('3 trials, 3 lost\n')
    written = json.loads(out.read_text())
    assert written['soak'] == {'kept': 1}
    assert written['damage']['counts'] == {'numbers': 2, 'blocks': 1}
    assert written['damage']['seed'] == 7
    assert len(written['damage']['losses']) == 3


def test_a_seed_decides_the_choices(tmp_path):
    draws = [Trials('a', seed, tmp_path, short=True).rng.random() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
