"""The notebook of the documentation: its cells run, one after the other, and it has outputs."""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt

NOTEBOOK = Path(__file__).parents[1] / 'docs' / 'tutorial.ipynb'
CELLS = json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']
CODE = [cell for cell in CELLS if cell['cell_type'] == 'code']


def test_the_cells_run(tmp_path, monkeypatch, run_tool):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, 'show', lambda: plt.close('all'))
    names = {}
    for cell in CODE:
        # 4 iterations instead of 300, which name the checkpoints too
        source = re.sub(r'\b(iter_)?300\b', r'\g<1>4', ''.join(cell['source']))
        if source.startswith('!paco-seg '):
            try:
                run_tool(*shlex.split(source.replace('\\\n', ' '))[1:])
            except SystemExit as end:  # check-data says so
                assert not end.code  # noqa: PT017
        else:
            exec(compile(source, 'cell', 'exec'), names)
    assert (tmp_path / 'predictions/index.html').is_file()
    assert len(list((tmp_path / 'predictions/pictures').iterdir())) == 2
    assert (tmp_path / 'gain.png').is_file()
    assert (tmp_path / 'confusion.png').is_file()


def test_outputs_are_stored_and_name_no_machine():
    assert [cell['execution_count'] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell['outputs']]
    pictures = [o['data']['image/png'] for o in outputs if 'image/png' in o.get('data', {})]
    assert len(pictures) == 4
    for picture in pictures:
        assert base64.b64decode(picture).startswith(b'\x89PNG')
    text = ''.join(line for o in outputs for line in o.get('text', ()))
    assert 'mIoU' in text
    assert not re.search(r'Traceback|Error|/(home|root|tmp|work|usr)/', text)
