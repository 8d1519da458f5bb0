"""Every write of every command meets a full disk, a limit of the system, or a wrong folder."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from seg.datasets.test_ade20k_full import write_scene
from stress.children import command
from stress.configs import seg_config
from stress.trials import Trials

from paco_seg.engine.checkpoint import load_from_local

PROMISE = (
    'A disk that is full, or a folder that cannot be written to, ends a command with exit code 2 '
    'or 1 and a line that says so; what was there before stays, and nothing unfinished stands '
    'under a final name'
)
RESULT, FREQUENCY, RELEASE = 'result.json', 'frequency.json', 'release'
# What the messages of a limit on the size of files and of a full disk have in common.
REASONS = ('No space left', 'File too large', 'disk', 'PytorchStreamWriter', 'unexpected pos')


def run(trials: Trials) -> None:
    room = trials.room('source')
    config = seg_config(room)
    checkpoint = room / 'work/iter_6.pth'
    # What the commands below read.
    for words in (
        ('train', config),
        ('test', config, checkpoint, '--work-dir', room / 'test', '--out', room / RESULT),
        ('statistics', config, '-o', room / FREQUENCY, '--jobs', 1),
    ):
        child = command(*words, log=room / f'{words[0]}.log')
        done = child.wait() == 0
        if not trials.check('commands run to their end', done, child.said()[-2000:]):
            return
    _write_release(room / RELEASE)
    commands = _commands(config, checkpoint, room)
    for name in trials.size(['train', 'test json', 'publish'], list(commands)):
        make = commands[name]
        writes = _count_writes(trials, name, make)
        trials.figures[f'writes of {name}'] = writes
        numbers = range(1, writes + 1)
        for number in trials.rng.sample(numbers, min(writes, trials.size(1, writes))):
            what = f'{name}, write {number}'
            before = _fail_at(number, trials.folder / f'writes of {what}')
            _one(trials, 'full disk at a write', what, make, before)
        for size in trials.size([64], [0, 64, 4096]):
            _one(
                trials,
                'limit on the size of files',
                f'{name}, {size} bytes',
                make,
                None,
                file_bytes=size,
            )
    _wrong_folders(trials, config, checkpoint)
    if not trials.short:
        _small_disk(trials, commands)


def _commands(config: Path, checkpoint: Path, room: Path) -> dict[str, Callable[[Path], list[Any]]]:
    """Commands that write, for a folder to write to; what they read is not in it."""
    result, images = room / RESULT, room / 'data/images/val'
    return {
        'train': lambda out: ['train', config, '--work-dir', out / 'work'],
        'test json': lambda out: [
            'test', config, checkpoint, '--work-dir', out / 'work', '--out', out / 'a.json',
        ],
        'test pkl': lambda out: [
            'test', config, checkpoint, '--work-dir', out / 'work', '--out', out / 'a.pkl',
        ],
        'test maps': lambda out: [
            'test', config, checkpoint, '--work-dir', out / 'work', '--out', out / 'maps',
        ],
        'test show': lambda out: [
            'test', config, checkpoint, '--work-dir', out / 'work', '--show-dir', out / 'shown',
        ],
        'swap': lambda out: ['swap', config, '-o', out / 'a.py'],
        'swap counts': lambda out: [
            'swap', config, '--system', 'log-prior', '-o', out / 'a.py',
        ],
        'statistics': lambda out: [
            'statistics', config, '-o', out / 'a.json', '--plot', out / 'a.png', '--jobs', 1,
        ],
        'publish': lambda out: ['publish', checkpoint, '--config', config, '-o', out / 'a.pth'],
        'convert': lambda out: ['convert', config, checkpoint, out / 'a.pth'],
        'demo-data': lambda out: ['demo-data', 'digits', '--out', out / 'digits'],
        'compare': lambda out: [
            'compare', config, '--systems', 'ce', '--seeds', 1, '--iters', 2, '--search', 'none',
            '--groups', 'rank', '--out', out / 'compared',
        ],
        'plot': lambda out: [
            'plot', f'one={result}', f'two={result}', '--frequency-file', room / FREQUENCY,
            '-o', out / 'a.png',
        ],
        'plot centers': lambda out: ['plot', 'centers', config, checkpoint, '-o', out / 'a.png'],
        'predict': lambda out: ['predict', config, checkpoint, images, '-o', out / 'predicted'],
        'export': lambda out: ['export', config, checkpoint, '-o', out / 'a.pt2'],
        'prepare': lambda out: [
            'prepare', 'ade20k-full', room / RELEASE, '--out', out / 'full', '--classes', 3,
            '--jobs', 1,
        ],
    }  # fmt: skip


def _write_release(root: Path) -> None:
    """A release of ADE20K with an image of three classes in each split."""
    labels = np.arange(12).reshape(3, 4) % 3
    for split, name in (('training', 'ADE_train_00000001'), ('validation', 'ADE_val_00000001')):
        write_scene(root / 'images/ADE' / split / 'urban/street', name, labels)


def _prepare(out: Path, words: list[Any]) -> dict[Path, bytes]:
    """A folder with something old under every name that the command is told to write."""
    out.mkdir(parents=True, exist_ok=True)
    (out / 'mine.txt').write_text('mine')
    for word in words:
        if isinstance(word, Path) and word.parent == out and word.suffix:
            word.write_text(f'old {word.name}')
    return {path: path.read_bytes() for path in out.rglob('*') if path.is_file()}


def _count_writes(trials: Trials, name: str, make: Callable[[Path], list[Any]]) -> int:
    """Run the command to its end and count what it synchronises, which is every file of ours."""
    out = trials.room(f'counted {name}')
    counted = out / 'fsync.log'
    words = make(out)
    _prepare(out, words)
    child = command(*words, before=_count_into(counted), log=out.with_suffix('.log'))
    trials.check('commands run to their end', child.wait() == 0, f'{name}: {child.said()[-2000:]}')
    number = len(counted.read_text()) if counted.exists() else 0
    folders = {'test maps', 'test show', 'demo-data'}  # MM and OpenCV write the pictures of these
    fine = number > 0 or name in folders
    trials.check('commands run to their end', fine, f'{name}: it synchronises no file')
    return number


def _count_into(path: Path) -> Callable[[], None]:
    def install() -> None:
        fsync = os.fsync

        def counting(descriptor: int) -> None:
            _count_one_more(path)
            fsync(descriptor)

        os.fsync = counting

    return install


def _count_one_more(path: Path) -> int:
    """Count in a file: the writes of a comparison are those of many processes."""
    with path.open('a') as file:
        file.write('.')
    return path.stat().st_size


def _fail_at(number: int, counted: Path) -> Callable[[], None]:
    """From the write ``number`` on the disk is full."""

    def install() -> None:
        def failing(descriptor: int) -> None:
            if _count_one_more(counted) >= number:
                # What did not fit is not there.
                path = f'/proc/self/fd/{descriptor}'
                os.truncate(path, os.stat(path).st_size // 2)
                raise OSError(errno.ENOSPC, 'No space left on device')

        os.fsync = failing

    return install


def _one(
    trials: Trials,
    kind: str,
    what: str,
    make: Callable[[Path], list[Any]],
    before: Callable[[], None] | None,
    out: Path | None = None,
    **limits: Any,
) -> None:
    out = out or trials.room(f'out {what}')
    words = make(out)
    old = _prepare(out, words)
    log = trials.folder / f'log of {what}'
    child = command(*words, before=before, log=log, **limits)
    code = child.wait()
    said = child.said()
    with trials.trial(kind, what):
        assert code is not None, 'it hangs'
        assert code in (0, 1, 2), f'exit {code}: {said[-1500:]}'
        if code:
            last = '\n'.join(said.splitlines()[-25:])
            assert any(reason in last for reason in REASONS), f'it says {last[-1500:]}'
        for path, content in old.items():
            changed = not path.exists() or path.read_bytes() != content
            assert not changed or (_is_told(path, words) and _is_whole(path)), f'{path} was harmed'
        for path in out.rglob('*'):
            # the state of `statistics`, from which the same command goes on
            state = path.name.endswith('.json.part')
            assert state or '.part' not in path.name, f'{path} is left'
            if path.is_file() and path not in old and not _is_log(path):
                assert _is_whole(path), f'{path} is unfinished'
        if code == 0 and before is not None:
            raise AssertionError('it says nothing of the full disk')


def _is_told(path: Path, words: list[Any]) -> bool:
    return path in words or path.with_suffix('.pth') in words


def _is_log(path: Path) -> bool:
    """MMEngine's own logs and dumps, which grow while it runs."""
    return 'vis_data' in path.parts or path.suffix == '.log' or path.name in ('config.py', '.lock')


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == '.json' or path.name.endswith('.json.part'):
            json.loads(path.read_text())
        elif path.suffix == '.pth':
            load_from_local(str(path))
        elif path.suffix == '.pt2':
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        elif path.suffix == '.html':
            return path.read_text().rstrip().endswith('</html>')
        elif path.suffix == '.pkl':
            return path.read_bytes().endswith(b'.')
        elif path.suffix == '.png':
            from PIL import Image

            Image.open(path).load()
        elif path.suffix == '.py':
            compile(path.read_text(), str(path), 'exec')
    except (ValueError, OSError, SyntaxError, zipfile.BadZipFile):
        return False
    return True


def _wrong_folders(trials: Trials, config: Path, checkpoint: Path) -> None:
    """Where nobody can write, root included."""
    out = trials.room('wrong')
    (out / 'file').write_text('old')
    places = [Path('/proc/nowhere'), out / 'file']
    commands = _commands(config, checkpoint, config.parent)
    for name in trials.rng.sample(list(commands), trials.size(2, len(commands))):
        for place in places[: trials.size(1, 2)]:
            log = trials.folder / f'wrong {name} {place.name}.log'
            child = command(*commands[name](place), log=log)
            code = child.wait()
            said = child.said()
            fine = code == 2 and 'expected' in said and (str(place) in said or "'/proc'" in said)
            what = f'{name} to {place}: exit {code}: {said[-800:]}'
            trials.check('folders without access', fine, what)
    kept = (out / 'file').read_text() == 'old'
    trials.check('folders without access', kept, 'a file was changed')


def _small_disk(trials: Trials, commands: dict[str, Callable[[Path], list[Any]]]) -> None:
    """A real full disk, where this user may mount one."""
    mount = trials.room('disk')
    for kib in (16, 128, 512):
        for name, make in commands.items():
            options = ['-t', 'tmpfs', '-o', f'size={kib}k', 'tmpfs', str(mount)]
            if subprocess.run(['mount', *options], capture_output=True).returncode:
                trials.figures['small disk'] = 'not tried: no right to mount one'
                return
            try:
                _one(trials, 'small disks', f'{name}, {kib} KiB', make, None, out=mount)
            finally:
                subprocess.run(['umount', '-l', str(mount)], check=True)
