import pytest
from helpers.tiny_training import train

from paco_seg.engine.hooks import loader_length_hook


def by_epoch():
    return dict(train_cfg=dict(by_epoch=True, max_epochs=1, _delete_=True))


@pytest.fixture
def other_rank(monkeypatch):
    """Pretends a second process whose loader is so much longer."""

    def pretend(more):
        monkeypatch.setattr(loader_length_hook, 'get_world_size', lambda: 2)
        monkeypatch.setattr(loader_length_hook, 'all_gather', lambda steps: [steps, steps + more])

    return pretend


def test_different_lengths_are_refused_before_the_first_step(tmp_path, other_rank):
    other_rank(1)
    message = r'train_dataloader: expected equally many steps .*, got 4, 5 \(by rank\)\. Set samp'
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **by_epoch())


def test_equal_lengths_and_iteration_based_loops_pass(tmp_path, other_rank):
    other_rank(0)
    train(tmp_path / 'a', **by_epoch())
    other_rank(1)
    train(tmp_path / 'b', train_cfg__max_iters=1)
