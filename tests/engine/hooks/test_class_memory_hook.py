import shutil
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from paco_seg.core.class_queues import ClassQueues
from paco_seg.core.compared.proco import VMFMoments
from paco_seg.core.queue import KeyQueue
from paco_seg.engine.hooks import ClassMemoryHook

CLASSES = ('sky', 'road', 'tree')


def model():
    return nn.ModuleDict(
        dict(
            fc=nn.Linear(2, 3),
            queue=KeyQueue(4, 2),
            memory=ClassQueues(3, 2, 2),
            moments=VMFMoments(3, 2),
        )
    )


def load(classes, trained_on, resume=False, prefix=''):
    """Names of the entries that are left of a checkpoint."""
    state = {prefix + key: value for key, value in model().state_dict().items()}
    meta = {} if trained_on is None else dict(dataset_meta=dict(classes=trained_on))
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    runner = SimpleNamespace(
        model=model(), cfg=dict(resume=resume), train_dataloader=SimpleNamespace(dataset=dataset)
    )
    checkpoint = dict(state_dict=state, meta=meta)
    ClassMemoryHook().after_load_checkpoint(runner, checkpoint)
    return {key.removeprefix(prefix) for key in checkpoint['state_dict']}


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_what_belongs_to_other_classes_starts_anew(prefix):
    assert load(CLASSES[::-1], CLASSES, prefix=prefix) == {'fc.weight', 'fc.bias'}
    assert load((*CLASSES, 'car'), CLASSES, prefix=prefix) == {'fc.weight', 'fc.bias'}


@pytest.mark.parametrize(
    ('classes', 'trained_on', 'resume'),
    [(CLASSES, CLASSES, False), (CLASSES, None, False), (None, CLASSES, False),
     (CLASSES[::-1], CLASSES, True)],
)  # fmt: skip
def test_all_else_is_loaded(classes, trained_on, resume):
    assert load(classes, trained_on, resume) == set(model().state_dict())


def test_a_training_from_weights_of_more_classes_starts(tiny_cls, run_tool, tmp_path):
    """With the queue of the first training, labels beyond the classes would end it."""
    config = tiny_cls()
    run_tool('swap', config, '-o', tmp_path / 'four.py')
    run_tool('train', tmp_path / 'four.py')
    weights = tmp_path / 'work/epoch_2.pth'
    for split in ('train', 'val'):
        for name in ('car', 'road'):
            shutil.copytree(tmp_path / 'data' / split / name, tmp_path / 'few' / split / name)
    text = config.read_text().replace(str(tmp_path / 'data'), str(tmp_path / 'few'))
    config.write_text(
        text.replace('num_classes=4', 'num_classes=2') + f'load_from = {str(weights)!r}'
    )
    run_tool('swap', config, '-o', tmp_path / 'two.py')
    run_tool('train', tmp_path / 'two.py', '--work-dir', tmp_path / 'two')
    before, after = (
        next(value for key, value in content['state_dict'].items() if key.endswith('queue.labels'))
        for path in (weights, tmp_path / 'two/epoch_2.pth')
        for content in [torch.load(path, weights_only=False)]
    )
    assert before.max() == 3
    assert after.max() == 1
