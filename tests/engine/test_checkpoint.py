import os
import pickle
import zipfile
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
        # a module of its own from Python 3.13 on
        (Path, 'write_text', f'{Path.__module__}.Path'),
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


JUNK = {
    'text': b'not a checkpoint\n' * 20,
    'picture': b'\x89PNG\r\n\x1a\n' + bytes(range(256)),
    'open_pickle': b'\x80\x02}q\x00(',
    'json': b'{"state_dict": {}}',
    'empty_zip': b'PK\x05\x06' + bytes(18),
    'letters': b'episode\n',
    'tar': b'a' * 257 + b'ustar\x0000' + bytes(1000),
    'zeros': bytes(1000),
}


@pytest.mark.parametrize('content', JUNK.values(), ids=JUNK.keys())
def test_a_file_of_another_kind_is_named(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.pth: expected'):
        load_from_local(str(tmp_path / 'a.pth'))


def test_every_first_byte_ends_in_the_same_error(tmp_path):
    """PyTorch's readers escape with KeyError, OSError, struct.error and others."""
    for first in range(256):
        (tmp_path / 'a.pth').write_bytes(bytes([first]) + b'e(a.b\x8a\xff\n0' * 30)
        with pytest.raises(ValueError, match=r'a\.pth: expected'):
            load_from_local(str(tmp_path / 'a.pth'))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([torch.ones(1)], 'expected a checkpoint, a dict with state_dict, got list'),
        (torch.ones(1), 'expected a checkpoint, a dict with state_dict, got Tensor'),
        ({'state_dict': 3}, 'state_dict: expected a dict, got int'),
        ({'state_dict': {'a': 3}}, "state_dict: expected tensors by name, got int at 'a'"),
        ({'state_dict': {}, 'meta': [1]}, 'meta: expected a dict, got list'),
        ({'state_dict': {}, 'message_hub': 1}, 'message_hub: expected a dict, got int'),
    ],
)
def test_content_of_another_form_is_named(tmp_path, content, message):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=rf'a\.pth: {message}'):
        load_from_local(str(tmp_path / 'a.pth'))


def test_a_flipped_byte_is_found_or_changes_nothing(tmp_path):
    weight = torch.arange(300.0)
    torch.save({'state_dict': {'weight': weight}, 'meta': {'epoch': 3}}, tmp_path / 'a.pth')
    whole = (tmp_path / 'a.pth').read_bytes()
    said = []
    for position in (1, *range(0, len(whole), 7)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        (tmp_path / 'a.pth').write_bytes(damaged)
        try:
            content = load_from_local(str(tmp_path / 'a.pth'))
        except ValueError as error:
            said.append(str(error))
        else:  # padding, a time stamp
            assert torch.equal(content['state_dict']['weight'], weight)
            assert content['meta'] == {'epoch': 3}
    assert len(said) >= len(weight) * 4 // 7
    assert not [text for text in said if 'allow-pickle' in text]  # no remedy for a damaged file


def test_records_that_would_have_to_be_unpacked_are_refused(tmp_path):
    torch.save({'state_dict': {'weight': torch.zeros(10_000)}}, tmp_path / 'a.pth')
    with (
        zipfile.ZipFile(tmp_path / 'a.pth') as archive,
        zipfile.ZipFile(tmp_path / 'b.pth', 'w', compression=zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name))
    with pytest.raises(ValueError, match=r'b\.pth: .*records of 4\d+ bytes in a file of \d{3,4}, '):
        load_from_local(str(tmp_path / 'b.pth'))


def test_a_checkpoint_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({'state_dict': {'weight': torch.ones(2)}}, tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_from_local(str(tmp_path / 'a.pth'))['state_dict']['weight'].sum() == 2


@pytest.mark.parametrize(
    ('config', 'kept'),
    [
        ('gpu_ids = range(0, 8)\nmodel = dict(type="A")\n', 'gpu_ids = [0, 1, 2, 3, 4, 5, 6, 7]'),
        ('gpu_ids = [2, 5]\n', 'gpu_ids = [0, 1]'),
        ('import os\nos.system("touch TRACE")\n', None),
        ('gpu_ids = __import__("os").system("touch TRACE")\n', None),
        ('gpu_ids = range(10**18)\n', None),
        ('gpu_ids = range(1000000000000)\n', None),
        ('(', None),
        (3, None),
    ],
)
def test_a_config_that_mmengine_would_run_becomes_one_list(tmp_path, monkeypatch, config, kept):
    from mmengine.config import Config

    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': {}, 'meta': {'config': config, 'epoch': 1}}, tmp_path / 'a.pth')
    meta = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))['meta']
    assert meta == {'epoch': 1} | ({} if kept is None else {'config': kept})
    if kept is not None:
        assert Config.fromstring(meta['config'], file_format='.py').gpu_ids
    assert not (tmp_path / 'TRACE').exists()


def test_every_scheme_is_as_harmless_as_a_file(monkeypatch):
    content = {'state_dict': {}, 'meta': {'config': 'import os'}}
    monkeypatch.setattr(
        CheckpointLoader, '_get_checkpoint_loader', lambda path: lambda path, location: content
    )
    assert CheckpointLoader.load_checkpoint('https://nowhere/a.pth')['meta'] == {}
