"""Files of strangers: checkpoints, statistics, lists and images made to do harm."""

from __future__ import annotations

import io
import itertools
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import CheckpointLoader
from PIL import Image
from stress.children import Child, command
from stress.configs import cls_config, seg_config
from stress.trials import Trials

from paco_seg.engine.checkpoint import UnsafeCheckpointError, load_from_local

PROMISE = (
    'Nothing in a file is executed, nothing is written or removed outside the output folder, and '
    'no file takes more than 1.5 GiB or a minute to be refused or read'
)
MEMORY_MIB = 1536
READ_MIB = 768
SECONDS = 60.0
# What a pickle may ask to be called; {trace} becomes a file that must never appear.
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ('posix.system', ('touch {trace}',)),
    ('os.system', ('touch {trace}',)),
    ('subprocess.Popen', (['touch', '{trace}'],)),
    ('subprocess.check_output', (['touch', '{trace}'],)),
    ('builtins.exec', ("open('{trace}', 'w')",)),
    ('builtins.eval', ("open('{trace}', 'w')",)),
    ('builtins.open', ('{trace}', 'w')),
    ('io.open', ('{trace}', 'w')),
    ('_io.FileIO', ('{trace}', 'w')),
    ('builtins.getattr', (torch.Tensor, 'numpy')),
    ('builtins.__import__', ('antigravity',)),
    ('importlib.import_module', ('antigravity',)),
    ('runpy.run_path', ('{trace}.py',)),
    ('runpy._run_code', ("open('{trace}', 'w')", {})),
    ('code.interact', ()),
    ('pty.spawn', ('/bin/true',)),
    ('shutil.rmtree', ('{victim}',)),
    ('os.remove', ('{victim}/kept',)),
    ('os.rename', ('{victim}/kept', '{trace}')),
    ('os.makedirs', ('{trace}',)),
    ('pathlib.Path.touch', ('{trace}',)),
    ('pathlib.Path.write_text', ('{trace}', 'x')),
    ('pathlib.PosixPath', ('{trace}',)),
    ('tempfile.mkdtemp', ()),
    ('torch.save', ({}, '{trace}')),
    ('torch.load', ('{trace}',)),
    ('torch.hub.load', ('a/b', 'c')),
    ('torch.hub.download_url_to_file', ('file:///etc/passwd', '{trace}')),
    ('torch.storage._load_from_bytes', (b'',)),
    ('torch.utils.cpp_extension.load_inline', ('a', 'int x;')),
    ('torch.package.PackageImporter', ('{trace}',)),
    ('torch.jit.load', ('{trace}',)),
    ('torch.ops.load_library', ('{trace}',)),
    ('numpy.load', ('{trace}',)),
    ('numpy.save', ('{trace}', 1)),
    ('numpy.ndarray.tofile', (np.zeros(1), '{trace}')),
    ('numpy.memmap', ('{trace}', 'u1', 'w+', 0, 8)),
    ('numpy.ctypeslib.load_library', ('{trace}', '/')),
    ('ctypes.CDLL', ('{trace}',)),
    ('functools.partial', (print, 'x')),
    ('operator.methodcaller', ('touch',)),
    ('operator.attrgetter', ('system',)),
    ('types.FunctionType', ()),
    ('marshal.loads', (b'',)),
    ('pickle.loads', (b'cos\nsystem\n(S"touch {trace}"\ntR.',)),
    ('mmengine.config.Config.fromfile', ('{trace}.py',)),
    ('mmengine.registry.build_functions.build_from_cfg', ({}, {})),
    ('mmengine.fileio.dump', ({}, '{trace}.json')),
    ('mmengine.fileio.put_text', ('x', '{trace}')),
    ('mmengine.logging.history_buffer.HistoryBuffer.register_statistics', (print,)),
    ('paco_seg.files.write_text', ('{trace}', 'x')),
    ('paco_seg.engine.checkpoint.set_safe_loading', (True,)),
]
PLACES: list[Callable[[Any], Any]] = [
    lambda evil: evil,
    lambda evil: {'state_dict': evil},
    lambda evil: {'state_dict': {'weight': evil}},
    lambda evil: {'state_dict': {'weight': torch.ones(1)}, 'meta': {'seed': evil}},
    lambda evil: {'state_dict': {}, 'message_hub': {'runtime_info': {'iter': evil}}},
    lambda evil: {'state_dict': OrderedDict(a=torch.ones(1)), 'optimizer': [evil, evil]},
]


READERS: dict[str, Callable[[str], Any]] = {
    'ours': load_from_local,
    'MMEngine': lambda path: CheckpointLoader.load_checkpoint(path, logger='silent'),
}


class _Calls:
    """Pickles to a call of a function by name, which need not exist here."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments


class _Pickler(pickle._Pickler):  # the one in Python can be taught
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(obj, _Calls):
            super().save(obj, save_persistent_id)
            return
        module, _, name = obj.name.rpartition('.')
        if self.proto >= 4:
            super().save(module)
            super().save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f'{module}\n{name}\n'.encode())
        super().save(obj.arguments)
        self.write(pickle.REDUCE)


class _PickleModule:
    """What ``torch.save`` wants instead of the module ``pickle``."""

    Pickler = _Pickler

    @staticmethod
    def dump(obj: Any, file: Any, protocol: int) -> None:
        _Pickler(file, protocol).dump(obj)


def run(trials: Trials) -> None:
    folder = trials.room('strangers')
    (folder / 'victim').mkdir()
    (folder / 'victim' / 'kept').write_text('kept')
    outside = folder / 'outside'
    outside.mkdir()
    _pickles(trials, folder)
    _archives(trials, folder)
    _texts(trials, folder)
    _commands(trials, folder)
    _images(trials, folder)


def _pickles(trials: Trials, folder: Path) -> None:
    trace, victim = folder / 'trace', folder / 'victim'
    path = folder / 'evil.pth'
    cases = list(itertools.product(CALLS, range(len(PLACES)), ('zip', 'legacy', 2, 4)))
    for (name, arguments), place, container in trials.rng.sample(
        cases, trials.size(40, len(cases))
    ):
        words = tuple(_filled(argument, trace, victim) for argument in arguments)
        content = PLACES[place](_Calls(name, words))
        with path.open('wb') as file:
            if isinstance(container, int):
                _Pickler(file, container).dump(content)
            else:
                modern = container == 'zip'
                torch.save(content, file, _PickleModule, 2, modern)
        for reader, read in READERS.items():
            what = f'{name} in place {place}, {container}, by {reader}'
            with trials.trial('pickles that call something', what):
                error = refusal(read, str(path))
                assert error is not None, 'it was read'
                named = str(path) in str(error)
                known = isinstance(error, UnsafeCheckpointError) or 'expected a' in str(error)
                assert named, error
                assert known, error
                _nothing_happened(folder)


def refusal(read: Callable[[str], Any], path: str) -> ValueError | None:
    """With which message a file is refused; None if it is read."""
    try:
        read(path)
    except ValueError as error:
        return error
    return None


def _filled(argument: Any, trace: Path, victim: Path) -> Any:
    if isinstance(argument, str):
        return argument.replace('{trace}', str(trace)).replace('{victim}', str(victim))
    if isinstance(argument, list):
        return [_filled(item, trace, victim) for item in argument]
    if isinstance(argument, bytes):
        return argument.replace(b'{trace}', str(trace).encode())
    return argument


def _nothing_happened(folder: Path) -> None:
    found = [path.name for path in folder.glob('trace*')]
    assert not found, f'{found} was written'
    assert (folder / 'victim' / 'kept').read_text() == 'kept', 'a file was changed'
    outside = [path.name for path in (folder / 'outside').iterdir()]
    assert not outside, f'{outside} was written outside'


def _read_in_child(trials: Trials, kind: str, path: Path, *, may_be_read: bool = False) -> None:
    """Read a checkpoint with little memory and time; it has to be refused in our words."""
    log = path.with_suffix('.log')
    child = Child(_read, str(path), log=log, memory_mib=READ_MIB)
    code = child.wait(SECONDS)
    fine = code == 3 or (may_be_read and code == 0)
    trials.check(kind, fine, f'{path.name}: exit {code}: {child.said()[-500:]}')


def _read(path: str) -> None:
    try:
        load_from_local(path)
    except ValueError as error:
        print(error)
        raise SystemExit(3 if path in str(error) else 4) from None


def _archives(trials: Trials, folder: Path) -> None:
    """Zip tricks: bombs, records outside, twice, encrypted, of lying sizes; huge shapes."""
    buffer = io.BytesIO()
    torch.save({'state_dict': {'weight': torch.arange(8.0)}, 'meta': {}}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    root = next(iter(records)).split('/')[0]

    def write(name: str, changed: dict[str, bytes], **options: Any) -> Path:
        path = folder / f'{name}.pth'
        with zipfile.ZipFile(path, 'w', **options) as archive:
            for record, data in (records | changed).items():
                archive.writestr(record, data)
        return path

    bombs = {'bomb_pickle': f'{root}/data.pkl'}
    if not trials.short:
        bombs |= {'bomb_data': f'{root}/data/0', 'bomb_more': f'{root}/data/1'}
    for name, record in bombs.items():
        path = folder / f'{name}.pth'
        _write_bomb(path, records, record, trials.size(2**30, 2**34))
        _read_in_child(trials, 'zip archives that do harm', path, may_be_read='more' in name)
    outside = '../outside/written'
    for name, record in (('dots', f'{root}/{outside}'), ('absolute', str(folder / 'outside/x'))):
        _read_in_child(
            trials,
            'zip archives that do harm',
            write(name, {record: b'x'}),
            may_be_read=True,
        )
    twice = write('twice', {})
    with zipfile.ZipFile(twice, 'a') as archive:
        archive.writestr(f'{root}/data.pkl', pickle.dumps([1]))
    _read_in_child(trials, 'zip archives that do harm', twice, may_be_read=True)
    lying = bytearray(write('lying', {}).read_bytes())
    place = lying.rfind(b'PK\x01\x02')
    struct.pack_into('<I', lying, place + 24, 0xFFFFFFF0)  # size of the last record
    (folder / 'lying.pth').write_bytes(lying)
    _read_in_child(trials, 'zip archives that do harm', folder / 'lying.pth')
    shapes = {
        'huge_view': lambda: torch.ones(1).expand(10**6, 10**6),
        'huge_sparse': lambda: torch.sparse_coo_tensor(
            torch.zeros(1, 1, dtype=torch.long), torch.ones(1), (10**15,)
        ),
    }
    for name, make in shapes.items():
        path = folder / f'{name}.pth'
        with trials.trial('zip archives that do harm', name):
            torch.save({'state_dict': {'weight': make()}, 'meta': {}}, path)
        _read_in_child(trials, 'zip archives that do harm', path, may_be_read=True)
    for name, content in (
        ('deep', b'\x80\x02' + b'(' * 200_000 + b't' * 200_000 + b'.'),
        ('open', b'\x80\x02' + b']' * 10**6),
        ('long', b'\x80\x02X' + struct.pack('<I', 2**32 - 1) + b'x.'),
        ('memo', b'\x80\x02]r\xff\xff\xff\xff.'),
    ):
        path = folder / f'{name}.pth'
        path.write_bytes(content)
        _read_in_child(trials, 'bare pickles that do harm', path)
    with trials.trial('zip archives that do harm', 'all of them'):
        _nothing_happened(folder)


def _write_bomb(path: Path, records: dict[str, bytes], record: str, size: int) -> None:
    """Write an archive in which a record of ``size`` zeros takes a thousandth of that."""
    with zipfile.ZipFile(path, 'w', compression=zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            if name != record:
                archive.writestr(name, data)
        with archive.open(record, 'w', force_zip64=True) as file:
            for _ in range(size // 2**24):
                file.write(bytes(2**24))


STATISTICS = {
    'not json': '{"images": [1,',
    'deep': '[' * 100_000,
    'nan': '[1, NaN, 2, 3]',
    'infinite': '[1, Infinity, 2, 3]',
    'huge': f'[1, 2, 3, {"9" * 4000}]',
    'too long': f'[1, 2, 3, {"9" * 6000}]',
    'negative': '[1, 2, 3, -4]',
    'fractions': '[1, 2, 3, 0.5]',
    'strings': '["1", "2", "3", "4"]',
    'booleans': '[true, true, true, true]',
    'nested': '[[1, 2], [3, 4]]',
    'ragged': '[1, [2], 3, 4]',
    'null': 'null',
    'number': '7',
    'empty list': '[]',
    'empty dict': '{}',
    'keys only': '{"classes": null, "images": null, "pixels": null, "num_images": null}',
    'wrong kinds': '{"classes": 3, "images": "abc", "pixels": {}, "num_images": "x"}',
    'other length': '{"classes": ["a"], "images": [1, 2], "pixels": null, "num_images": 3}',
    'more than images': '{"classes": null, "images": [9, 9], "pixels": null, "num_images": 3}',
    'infinite images': '{"classes": null, "images": [9, 1], "pixels": null, "num_images": 1e999}',
    'pixels negative': '{"classes": null, "images": [2, 1], "pixels": [-1, 3], "num_images": 3}',
    'one class less': '[1, 2, 3]',
    'zero class': '[1, 2, 3, 0]',
    'binary': '\udcff\udcfe\x00',
    'long name': '{"classes": ["' + 'a' * 10**6 + '"], "images": [1], "num_images": 1}',
}
LISTS = {
    'no label': 'sky/0.png\n',
    'negative label': 'sky/0.png -1\n',
    'label too large': 'sky/0.png 4\n',
    'huge label': f'sky/0.png {"9" * 5000}\n',
    'not a number': 'sky/0.png one\n',
    'other digits': 'sky/0.png \u0664\n',
    'outside': '../../../../etc/passwd 0\n',
    'absolute': '/etc/passwd 0\n',
    'folder': 'sky 0\n',
    'null byte': 'sky/\x000.png 0\n',
    'empty': '',
    'blank lines': '\n\n\n',
    'binary': '\udcff\udcfe 0\n',
    'long line': 'a' * 10**6 + ' 0\n',
    'device': '/dev/zero 0\n',
    'terminal': '/dev/stdin 0\n',
}
# All counts are written or read by the loss that asks for them.
PRIOR = """
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model['train_cfg'] = None
model['head'] = dict(
    type='LinearClsHead', in_channels=8, num_classes=4,
    loss=dict(type='BalancedSoftmaxLoss', class_prior={path!r}))
"""
LIST = """
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
train_dataloader['dataset'] = dict(
    type='ImageListDataset', data_root={root!r}, data_prefix='train', ann_file={path!r},
    num_classes=4, pipeline=train_dataloader['dataset']['pipeline'])
"""


def _texts(trials: Trials, folder: Path) -> None:
    """Statistics and list files, which a training must refuse before a step; other readers too."""
    cases = [('statistics', name, text) for name, text in STATISTICS.items()]
    cases += [('list', name, text) for name, text in LISTS.items()]
    for number, (kind, name, text) in enumerate(
        trials.rng.sample(cases, trials.size(3, len(cases)))
    ):
        room = folder / f'text{number}'
        path = room / ('file.json' if kind == 'statistics' else 'file.txt')
        room.mkdir()
        path.write_text(text, errors='surrogateescape')
        extra = (PRIOR if kind == 'statistics' else LIST).format(
            path=str(path), root=str(room / 'data')
        )
        config = cls_config(room, extra)
        readers: dict[str, tuple[object, ...]] = {'train': ('train', config)}
        if kind == 'list':
            readers['check-data'] = ('check-data', config, '--jobs', 1)
            readers['statistics'] = ('statistics', config, '-o', room / 'out.json', '--jobs', 1)
        elif not trials.short:
            (room / 'seg').mkdir()
            system = ('--system', 'log-prior', '--frequency-file', path)
            readers['swap'] = ('swap', seg_config(room / 'seg'), *system, '-o', room / 'out.py')
        for reader, words in list(readers.items())[: trials.size(1, len(readers))]:
            child = command(*words, log=room / f'{reader}.log', memory_mib=MEMORY_MIB)
            code = child.wait(SECONDS)
            said = child.said()
            named = 'file.' in said or name in ('outside', 'absolute', 'folder')
            # Who only counts or writes a config need not object to every file.
            harmless = code == 0 and reader in ('statistics', 'swap')
            found = code == 1 and reader == 'check-data'
            fine = harmless or (named and (found or code == 2))
            what = f'{kind} {name!r}, {reader}: exit {code}: {said[-800:]}'
            trials.check('statistics and list files', fine, what)
    with trials.trial('statistics and list files', 'all of them'):
        _nothing_happened(folder)


def _commands(trials: Trials, folder: Path) -> None:
    """Checkpoints whose paths and settings point elsewhere, through the commands that read them."""
    room = folder / 'commands'
    room.mkdir()
    config = seg_config(room, 'default_hooks["checkpoint"].update(save_best="mIoU")\n')
    child = command('train', config, log=room / 'train.log')
    if not trials.check('commands', child.wait() == 0, child.said()[-2000:]):
        return
    good = load_from_local(str(room / 'work/iter_3.pth'))
    victim = folder / 'victim/kept'
    changes = _hostile_meta(str(victim))
    for name, change in trials.rng.sample(list(changes.items()), trials.size(1, len(changes))):
        content = dict(good, meta=dict(good['meta']))
        hub = content['message_hub']
        content['message_hub'] = dict(hub, runtime_info=dict(hub['runtime_info']))
        change(content)
        evil = room / 'evil.pth'
        torch.save(content, evil)
        words = _readers(config, evil, room, room / f'work of {name}')
        for reader, line in list(words.items())[: trials.size(1, len(words))]:
            child = command(*line, log=room / f'{name} {reader}.log', memory_mib=MEMORY_MIB)
            code = child.wait()
            # Whether it is refused or of no effect is the command's own business.
            fine = code in (0, 2)
            trials.check('commands', fine, f'{name}, {reader}: exit {code}: {child.said()[-800:]}')
            with trials.trial('commands', f'{name}, {reader}'):
                _nothing_happened(folder)
    # A pickle that calls something, in the place of any checkpoint that a command reads.
    words = tuple(
        _filled(argument, folder / 'trace', folder / 'victim') for argument in CALLS[0][1]
    )
    evil = room / 'calls.pth'
    torch.save(PLACES[2](_Calls(CALLS[0][0], words)), evil, _PickleModule, 2)
    lines = _readers(config, evil, room, room / 'work of calls')
    for reader, line in list(lines.items())[: trials.size(1, len(lines))]:
        child = command(*line, log=room / f'calls {reader}.log', memory_mib=MEMORY_MIB)
        code, said = child.wait(), child.said()
        refused = code == 2 and 'calls.pth' in said
        trials.check('commands', refused, f'a call, {reader}: exit {code}: {said[-800:]}')
        with trials.trial('commands', f'a call, {reader}'):
            _nothing_happened(folder)


def _readers(config: Path, evil: Path, room: Path, work: Path) -> dict[str, tuple[object, ...]]:
    """Each command that reads a checkpoint, with one."""
    images = room / 'data/images/val'
    load_from = ('--cfg-options', f'load_from={evil}')
    return {
        'train --resume': ('train', config, '--resume', evil, '--work-dir', work),
        'train': ('train', config, *load_from, '--work-dir', work / 'loaded'),
        'test': ('test', config, evil, '--work-dir', work),
        'predict': ('predict', config, evil, images, '-o', work / 'predicted'),
        'publish': ('publish', evil, '-o', room / 'published.pth'),
        'convert': ('convert', config, evil, room / 'converted.pth'),
        'export': ('export', config, evil, '-o', work / 'model.pt2'),
        'plot': ('plot', 'centers', config, evil, '-o', work / 'centers.png'),
    }


def _hostile_meta(victim: str) -> dict[str, Callable[[dict], Any]]:
    code = f'import os\nos.system("rm {victim}")\n'

    def info(**values: Any) -> Callable[[dict], Any]:
        return lambda content: content['message_hub']['runtime_info'].update(values)

    def meta(**values: Any) -> Callable[[dict], Any]:
        return lambda content: content['meta'].update(values)

    return {
        'best elsewhere': info(best_ckpt=victim, best_score=-1.0),
        'last elsewhere': info(last_ckpt=victim, keep_ckpt_ids=[f'../../../{victim}', 0]),
        'config that runs': meta(config=code),
        'cfg that runs': meta(cfg=code),
        'cfg with a class': meta(cfg=f"model = dict(type='os.system', command='rm {victim}')"),
        'cfg with imports': meta(cfg="custom_imports = dict(imports=['antigravity'])"),
        'cfg with a base': meta(cfg=f"_base_ = '{victim}'"),
        'cfg with a folder': meta(cfg=f"work_dir = '{Path(victim).parent}'"),
        'iteration': meta(iter=-1),
        'huge iteration': meta(iter=10**18),
        'classes': meta(dataset_meta={'classes': ['x' * 10**6] * 4}),
        'palette': meta(dataset_meta={'classes': 'abcd', 'palette': [[10**9] * 3] * 4}),
        'escape': meta(experiment_name='\x1b[2J../../../x'),
    }


def _images(trials: Trials, folder: Path) -> None:
    """Images as strangers make them, as images and as label maps, through what reads them."""
    room = folder / 'images'
    maps = folder / 'maps'
    for path in (room, maps):
        path.mkdir()
    config, seg = cls_config(room), seg_config(maps)
    predicted = folder / 'to predict'
    predicted.mkdir()
    checkpoint = maps / 'work/iter_6.pth'
    if not trials.short:
        child = command('train', seg, log=maps / 'train.log')
        if not trials.check('images', child.wait() == 0, child.said()[-2000:]):
            return
    counts = maps / 'out.json'
    # Where an image goes, what it was before, and which command reads it there.
    places: dict[str, tuple[Path, tuple[object, ...]]] = {
        'check-data': (room / 'data/train/sky/0.png', ('check-data', config, '--jobs', 1)),
        'train': (room / 'data/train/sky/0.png', ('train', config)),
        'predict': (
            predicted / '0.png',
            ('predict', seg, checkpoint, predicted, '-o', maps / 'predicted'),
        ),
        'check-data, maps': (maps / 'data/labels/train/0.png', ('check-data', seg, '--jobs', 1)),
        'statistics, maps': (
            maps / 'data/labels/train/0.png',
            ('statistics', seg, '-o', counts, '--jobs', 1),
        ),
        'train, maps': (
            maps / 'data/labels/train/0.png',
            ('train', seg, '--work-dir', maps / 'trained'),
        ),
    }
    names = list(IMAGES)
    for name in trials.rng.sample(names, trials.size(1, len(names))):
        content = IMAGES[name]()
        for reader, (path, line) in list(places.items())[: trials.size(1, len(places))]:
            path.write_bytes(content)
            log = folder / f'{name} {reader}.log'
            child = command(*line, log=log, memory_mib=MEMORY_MIB)
            code = child.wait(SECONDS)
            fine = code in (0, 2) or (code == 1 and line[0] == 'check-data')
            named = code == 0 or '0.png' in child.said()
            trials.check(
                'images', fine and named, f'{name}, {reader}: exit {code}: {child.said()[-800:]}'
            )


def _png(size: tuple[int, int], mode: str = 'RGB', **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, **({'format': 'PNG'} | options))
    return buffer.getvalue()


def _bomb(width: int, height: int) -> bytes:
    """A PNG of so many pixels in a few kilobytes, all of them zero."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size, check = (struct.pack('>I', n) for n in (len(data), zlib.crc32(kind + data)))
        return size + kind + data + check

    header = struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b''.join(packer.compress(row * 64) for _ in range(max(1, height // 64)))
    pixels += packer.flush()
    chunks = [chunk(b'IHDR', header), chunk(b'IDAT', pixels), chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _png((24, 16), exif=exif, format='JPEG')


IMAGES: dict[str, Callable[[], bytes]] = {
    'bomb': lambda: _bomb(40_000, 40_000),
    'claims more than it has': lambda: _bomb(100_000, 64),
    '1 x 1': lambda: _png((1, 1)),
    '1 x 5000': lambda: _png((5000, 1)),
    '16 bit': lambda: _png((16, 16), 'I;16'),
    'alpha': lambda: _png((16, 16), 'RGBA'),
    'palette': lambda: _png((16, 16), 'P'),
    'bilevel': lambda: _png((16, 16), '1'),
    'CMYK': lambda: _png((16, 16), 'CMYK', format='JPEG'),
    'float': lambda: _png((16, 16), 'F', format='TIFF'),
    'animation': lambda: _png((16, 16), 'P', format='GIF', save_all=True),
    'turned': lambda: _turned(6),
    'orientation out of range': lambda: _turned(99),
    'cut off': lambda: _png((64, 64))[:60],
    'header only': lambda: _png((16, 16))[:33],
    'empty': lambda: b'',
    'text': lambda: b'not an image',
    'checkpoint': lambda: pickle.dumps({'state_dict': {}}),
    'svg': lambda: (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    ),
}
