from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_training import train

from paco_seg.engine.divergence import DivergedTrainingError
from paco_seg.engine.hooks import NonFiniteLossHook
from paco_seg.engine.resume import newest_checkpoint

NAN, INF = float('nan'), float('inf')


def feed(hook, losses):
    """Number of losses after which the hook ends the training."""
    for number, loss in enumerate(losses, 1):
        runner = SimpleNamespace(iter=number - 1, hooks=[], cfg={})
        try:
            hook.after_train_iter(runner, 0, outputs=dict(loss=torch.tensor(loss), acc=NAN))
        except DivergedTrainingError as error:
            return number, str(error)
    return None


def test_so_many_in_a_row_end_the_training():
    number, message = feed(NonFiniteLossHook(patience=3), [1.0, NAN, INF, 1.0, NAN, -INF, NAN])
    assert number == 7
    assert 'got 3 non-finite in a row (loss nan) at iteration 7. No checkpoint' in message
    assert feed(NonFiniteLossHook(), [NAN] * 30)[0] == 20


def test_single_ones_do_not():
    assert feed(NonFiniteLossHook(patience=2), [NAN, 1.0] * 20) is None


@pytest.mark.parametrize('patience', [0, -1, 1.5, True, 'a'])
def test_wrong_setting(patience):
    with pytest.raises(ValueError, match=r'NonFiniteLossHook\.patience: expected an integer >= 1'):
        NonFiniteLossHook(patience=patience)


def test_a_training_ends_and_its_last_good_checkpoint_stays(tmp_path):
    hooks = [dict(type='NonFiniteLossHook', patience=2)]
    message = r'2 non-finite in a row \(loss_?\w* nan.* iteration 6\. .*kept: \S+iter_4\.pth\. Star'
    with pytest.raises(DivergedTrainingError, match=message):
        train(tmp_path, model__diverges_at=5, custom_hooks=hooks)
    assert newest_checkpoint(tmp_path) == str(tmp_path / 'iter_4.pth')


def test_the_checkpoint_of_an_earlier_training_is_not_named(tmp_path):
    train(tmp_path)
    hooks = [dict(type='NonFiniteLossHook', patience=1)]
    with pytest.raises(DivergedTrainingError, match=r'iteration 1\. No checkpoint was written yet'):
        train(tmp_path, model__diverges_at=1, custom_hooks=hooks)
    back = dict(resume=True, load_from=str(tmp_path / 'iter_2.pth'), custom_hooks=hooks)
    with pytest.raises(DivergedTrainingError, match=r'from the weights of \S+iter_2\.pth \(load'):
        train(tmp_path, model__diverges_at=1, **back)
