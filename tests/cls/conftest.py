from __future__ import annotations

from pathlib import Path

import pytest
from helpers.contrastive import work_on_rank
from helpers.ranks import run_ranks

from tests.conftest import CLS_CONFIG, write_cls_dataset

FSDP = Path(__file__).parents[2] / 'configs/_base_/strategies/fsdp.py'
# The tiny classification training with PaCo: queue, momentum encoder and class counts.
PACO = """
model['type'] = 'PaCoClassifier'
model['train_cfg'] = None
model['head'] = dict(
    type='PaCoClsHead', num_classes=4, in_channels=8, queue_size=16,
    projector=dict(out_channels=8))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_classes=4, num_views=2)
first, *augmentation, last = train_dataloader['dataset']['pipeline']
train_dataloader['dataset']['pipeline'] = [
    first, dict(type='MultiView', num_views=[2], transforms=[augmentation]), last]
train_cfg['val_interval'] = 9
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
"""


@pytest.fixture(scope='session')
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a training set and the configs ``ddp.py`` and ``fsdp.py``."""
    folder = tmp_path_factory.mktemp('trainings')
    write_cls_dataset(folder / 'data')
    text = CLS_CONFIG.format(root=str(folder / 'data'), work_dir=str(folder), num_classes=4) + PACO
    (folder / 'ddp.py').write_text(text)
    (folder / 'fsdp.py').write_text(text + FSDP.read_text())
    return folder


@pytest.fixture(scope='session')
def two_ranks(trainings: Path) -> list[dict]:
    """Results of :func:`contrastive.work_on_rank` in two processes, which start once.

    The trainings leave checkpoints in ``ddp``, ``fsdp`` and ``resumed`` of the folder.
    """
    config = str(trainings / 'fsdp.py')
    runs = [
        (str(trainings / 'ddp.py'), '--work-dir', str(trainings / 'ddp')),
        (config, '--work-dir', str(trainings / 'fsdp')),
        (
            *(config, '--work-dir', str(trainings / 'resumed')),
            *('--resume', str(trainings / 'fsdp/epoch_1.pth')),
        ),
    ]
    return run_ranks(work_on_rank, runs)
