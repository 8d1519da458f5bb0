import subprocess
import sys
from importlib import import_module

import pytest

from paco_seg import cli

HEAVY = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'matplotlib', 'cv2'}


@pytest.mark.parametrize('arguments', [['--help'], ['--version'], [], ['trian']])
def test_the_list_of_commands_needs_nothing_heavy(arguments):
    program = (
        'import sys\nfrom paco_seg.cli import main\n'
        f'try:\n    main({arguments!r})\nexcept SystemExit as end:\n    code = end.code\n'
        f'print(code, sorted({HEAVY!r} & set(sys.modules)))'
    )
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    status = 0 if arguments and arguments[0].startswith('--') else 2
    assert result.stdout.splitlines()[-1] == f'{status} []', result.stderr
    if arguments == ['--help']:
        for name, (_, summary) in cli.COMMANDS.items():
            assert name in result.stdout
            assert summary[:40] in result.stdout


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_help_of_a_command_is_its_docstring(name, capsys):
    module_name, summary = cli.COMMANDS[name]
    assert import_module(module_name).__doc__.splitlines()[0] == summary
    with pytest.raises(SystemExit) as end:
        cli.run([name, '--help'])
    assert end.value.code == 0
    assert f'paco-seg {name}' in capsys.readouterr().out


def test_the_package_is_a_program(tmp_path):
    command = [sys.executable, '-m', 'paco_seg', '--help']
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith('usage: paco-seg')
