import json

import pytest

from paco_seg.comparison import alpha_scale
from paco_seg.core.alpha import CLASSIFICATION


@pytest.mark.parametrize(
    ('data', 'counts', 'size'),
    [('10 digits', (100, 2), (8, 8)), ('30 pairs', (150, 2), (8, 16))],
)
def test_training_is_long_tailed_and_shares_no_image(data, counts, size):
    found, sets = alpha_scale.make_set(data)
    assert (found[0], found[-1]) == counts
    images, labels = sets['train']
    assert images.shape[1:] == (1, *size)
    assert labels.bincount().tolist() == found
    halves = {
        split: {tuple(half.flatten().tolist()) for half in images.split(8, dim=3)[0]}
        for split, (images, _) in sets.items()
    }
    assert not halves['train'] & (halves['val'] | halves['test'])
    assert not halves['val'] & halves['test']


@pytest.mark.parametrize(
    ('method', 'alpha'),
    [('auto', 'auto'), ('0.02', 0.02), ('cross entropy', None), ('balanced softmax', None)],
)
def test_one_training_writes_its_accuracies(tmp_path, method, alpha):
    out = tmp_path / 'run.json'
    alpha_scale.main(['--data', '10 digits', '--method', method, '--steps', '3', '--out', str(out)])
    content = json.loads(out.read_text())
    assert set(content['metrics']) == {'val', 'test', 'head', 'medium', 'tail'}
    assert all(0 <= value <= 100 for value in content['metrics'].values())
    run = content['run']
    assert (run['seed'], run['steps']) == (0, 3)
    if alpha is None:
        assert content['product'] is None
    elif alpha == 'auto':
        assert content['product'] == pytest.approx(CLASSIFICATION.target)
    else:
        assert run['alpha'] == alpha


def test_a_seed_is_a_run():
    first, again, other = (alpha_scale.train('10 digits', 'auto', s, 3) for s in (0, 0, 1))
    assert first == again
    assert first['val'] != other['val'] or first['test'] != other['test']


def test_positives_are_those_of_queue_and_batch():
    """With a certain view, 64 images in two views and 512 keys."""
    counts, _ = alpha_scale.make_set('10 digits')
    run = alpha_scale.train('10 digits', 0.5, 0, 1)
    share = max(counts) / sum(counts)
    expected = 0.5 * (1 + share * (512 + 2 * 63))
    assert run['product'] == pytest.approx(expected, rel=1e-4)
