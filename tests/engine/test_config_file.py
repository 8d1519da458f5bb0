import pytest

from paco_seg import compat
from paco_seg.engine.config_file import parse_config


def write(path, module):
    path.write_text(
        f'custom_imports = dict(imports={module!r}, allow_failed_imports=False)\na = 1\n'
    )
    return path


@pytest.mark.parametrize('listed', [True, False])
def test_a_module_that_is_not_there_is_named_with_the_remedy(tmp_path, listed):
    module = 'a_module_beside_the_config'
    path = write(tmp_path / 'config.py', ['os', module] if listed else module)
    message = (
        rf"^custom_imports\.imports: expected modules that can be imported, got '{module}' "
        rf"\(No module named '{module}'\)\. Install it, or set PYTHONPATH to its folder$"
    )
    with pytest.raises(ValueError, match=message):
        parse_config(path)


def test_the_cause_is_that_of_the_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path / 'config.py', ['found_beside_the_config'])
    (tmp_path / 'found_beside_the_config.py').write_text('import not_found_anywhere\n')
    with pytest.raises(ValueError, match=r"\(No module named 'not_found_anywhere'\)"):
        parse_config(path)
    (tmp_path / 'found_beside_the_config.py').write_text('sound = True  # and longer\n')
    assert parse_config(path).a == 1


def test_another_import_error_of_the_config_stays(tmp_path):
    (tmp_path / 'config.py').write_text("x = __import__('not_found_anywhere')\n")
    with pytest.raises(ImportError, match='not_found_anywhere'):
        parse_config(tmp_path / 'config.py')


def test_what_mmdetection_lacks_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(compat, 'why_no_mask_heads', lambda: 'no operations')
    path = write(tmp_path / 'config.py', ['mmdet.not_there'])
    with pytest.raises(compat.MMStackError, match=r'expected MMDetection, got .* no operations'):
        parse_config(path)
