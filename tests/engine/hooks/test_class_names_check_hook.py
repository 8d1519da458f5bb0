import pytest
import torch
from helpers.tiny_training import CLASSES, evaluate, train

from paco_seg.engine.hooks import ClassNamesCheckHook


@pytest.fixture
def checkpoint(tmp_path):
    train(tmp_path / 'work', train_cfg__max_iters=2)
    return tmp_path / 'work/iter_2.pth'


def classes(*names):
    return dict(test_dataloader__dataset__classes=names)


def test_the_classes_of_the_training_pass(tmp_path, checkpoint):
    assert 'acc' in evaluate(tmp_path, checkpoint)
    assert 'acc' in evaluate(tmp_path, checkpoint, **classes('Sky', 'Road ', 'tree'))


def test_another_number_of_classes_is_refused(tmp_path, checkpoint):
    message = r'test_dataloader\.dataset: expected 3 classes, since model\.head\.num_classes is 3'
    with pytest.raises(ValueError, match=message):
        evaluate(tmp_path, checkpoint, **classes('sky', 'road'))


def test_another_order_is_refused(tmp_path, checkpoint):
    message = (
        r'test_dataloader\.dataset\.metainfo\.classes: expected the 3 classes of the checkpoint '
        r"in its order \(sky, road, tree\), got 3 \(tree, road, sky; 'tree' is 0, was 2; 'sky' is "
    )
    with pytest.raises(ValueError, match=message):
        evaluate(tmp_path, checkpoint, **classes('tree', 'road', 'sky'))
    changes = dict(
        train_dataloader__dataset__classes=('tree', 'road', 'sky'),
        val_dataloader__dataset__classes=('tree', 'road', 'sky'),
        resume=True,
        load_from=str(checkpoint),
    )
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset\.metainfo\.classes: expected'):
        train(tmp_path / 'b', **changes)
    # Fine-tuning on other classes is what load_from is for.
    train(tmp_path / 'c', **(changes | dict(resume=False, train_cfg__max_iters=1)))


def test_other_names_are_a_warning(tmp_path, checkpoint, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.engine.hooks.class_names_check_hook.print_log',
        lambda line, *_: lines.append(line),
    )
    evaluate(tmp_path, checkpoint, **classes('sky', 'street', 'tree'))
    (line,) = lines
    assert "1 names differ from the checkpoint ('street' was 'road')" in line


def test_two_classes_may_share_a_name():
    hook = ClassNamesCheckHook()
    trained = ('crane', 'cat', 'crane')
    hook._compare('dataset', ('crane', 'house cat', 'crane'), trained)
    with pytest.raises(ValueError, match=r"'cat' is 0, was 1"):
        hook._compare('dataset', ('cat', 'crane', 'crane'), trained)


@pytest.mark.parametrize('names', [('tree', 'road', 'sky'), ('sky', 'road')])
def test_a_validation_on_other_classes_is_refused(tmp_path, names):
    message = r'val_dataloader\.dataset\.metainfo\.classes: expected the 3 classes of the train'
    with pytest.raises(ValueError, match=message):
        train(tmp_path, val_dataloader__dataset__classes=names)


def test_a_checkpoint_without_names_is_tested(tmp_path, checkpoint):
    content = torch.load(checkpoint, weights_only=False)
    del content['meta']['dataset_meta']
    torch.save(content, checkpoint)
    evaluate(tmp_path, checkpoint, **classes(*reversed(CLASSES)))
