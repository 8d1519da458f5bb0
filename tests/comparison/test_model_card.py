"""What is not known is said; groups come from the metrics."""

from mmengine.config import Config

from paco_seg.comparison.model_card import model_card

CFG = Config(
    dict(
        default_scope='mmpretrain',
        model=dict(type='ImageClassifier', backbone=dict(type='ResNet'), head=dict(type='Head')),
        train_dataloader=dict(
            dataset=dict(type='RepeatDataset', dataset=dict(type='CIFAR100', split='train'))
        ),
    )
)


def test_unknown_parts_are_said():
    card = model_card('m', CFG, {})
    assert card.count('not stated') + card.count('Not stated') == 3
    assert 'train: `CIFAR100`, train' in card
    assert 'paco_seg and mmpretrain' in card


def test_groups_and_metrics():
    metrics = dict(
        metrics={'top1': 71.234, 'confusion': [1]},
        per_class={'class': ['a', 'b', 'c'], 'group': ['many', 'few', 'many']},
    )
    card = model_card('m', CFG, dict(dataset_meta=dict(classes='abc')), metrics=metrics)
    assert '| top1   | 71.23 |' in card
    assert 'confusion' not in card
    assert '- many (2): a, c\n- few (1): b' in card


def test_a_stock_model_names_no_command_of_this_package():
    card = model_card('m', CFG, {}, stock=True)
    assert 'paco' not in card
    assert '`python tools/test.py m.py m.pth`' in card
    assert '- `python tools/train.py m.py`' in card
    assert '- `paco-seg train m.py`' in model_card('m', CFG, {})
