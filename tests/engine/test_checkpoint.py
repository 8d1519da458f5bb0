import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from paco_seg.engine.checkpoint import UnsafeCheckpointError, load_from_local, set_safe_loading


@pytest.fixture(autouse=True)
def _safe_loading():
    set_safe_loading()


class Runs:
    """Pickles to a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_an_mmengine_checkpoint_is_read(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    content = {
        'state_dict': {'weight': torch.ones(2)},
        'message_hub': {'loss': buffer, 'best': np.float64(0.5), 'mask': np.array([True])},
    }
    torch.save(content, tmp_path / 'a.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'), 'cpu')
    assert torch.equal(loaded['state_dict']['weight'], torch.ones(2))
    assert loaded['message_hub']['loss'].mean() == 1.5
    assert loaded['message_hub']['best'] == 0.5


@pytest.mark.parametrize('loader', ['ours', 'mmengine', 'torch'])
def test_code_in_a_checkpoint_is_refused_by_every_way_of_reading(tmp_path, loader):
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': Runs(os.system, f'touch {trace}')}, path)
    if loader == 'torch':
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=False)
    else:
        read = load_from_local if loader == 'ours' else CheckpointLoader.load_checkpoint
        with pytest.raises(
            UnsafeCheckpointError, match=r'evil.pth: .*posix.system.*--allow-pickle'
        ):
            read(str(path))
    assert not trace.exists()


@pytest.mark.parametrize(
    ('owner', 'name', 'asks_for'),
    [
        (HistoryBuffer, '__init__', 'HistoryBuffer.__init__'),
        (np.ndarray, 'tofile', 'ndarray.tofile'),
        (Path, 'write_text', 'pathlib.Path'),
    ],
)
def test_getattr_reaches_the_statistics_methods_only(tmp_path, owner, name, asks_for):
    torch.save({'state_dict': Runs(getattr, owner, name)}, tmp_path / 'evil.pth')
    with pytest.raises(
        UnsafeCheckpointError, match=rf'evil\.pth: .* a pickle that needs {asks_for}'
    ):
        load_from_local(str(tmp_path / 'evil.pth'))


def test_mmengine_cannot_bring_its_own_list_back(tmp_path):
    """Its list, opened around each load, holds the real ``getattr``."""
    from mmengine.runner import checkpoint

    torch.save({'a': Runs(getattr, np.ndarray, 'tofile')}, tmp_path / 'evil.pth')
    if hasattr(checkpoint, '_safe_torch_load'):  # absent from MMEngine 0.10.7
        with pytest.raises(pickle.UnpicklingError):
            checkpoint._safe_torch_load(str(tmp_path / 'evil.pth'))


def test_allow_pickle_reads_it(tmp_path):
    torch.save({'state_dict': Runs(Path, 'somewhere')}, tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError):
        load_from_local(str(tmp_path / 'a.pth'))
    set_safe_loading(allow_pickle=True)
    assert load_from_local(str(tmp_path / 'a.pth')) == {'state_dict': Path('somewhere')}


def test_a_damaged_file_is_named(tmp_path):
    torch.save({'state_dict': {'weight': torch.ones(1000)}}, tmp_path / 'a.pth')
    whole = (tmp_path / 'a.pth').read_bytes()
    for content in (whole[: len(whole) // 2], b'', b'<html>not found</html>'):
        (tmp_path / 'a.pth').write_bytes(content)
        with pytest.raises(ValueError, match=r'a\.pth: expected a PyTorch checkpoint'):
            load_from_local(str(tmp_path / 'a.pth'))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint: expected an existing file, .*b\.pth'):
        load_from_local(str(tmp_path / 'b.pth'))
