import pytest

from paco_seg.engine.data_config import read_data_config, sample_positions


@pytest.mark.parametrize('scope', ['mmseg', 'mmpretrain'])
def test_the_scope_tells_the_task(tmp_path, scope):
    path = tmp_path / 'config.py'
    path.write_text(f'default_scope = {scope!r}\na = dict(b=1)\n')
    cfg, got = read_data_config(str(path), {'a.b': 2})
    assert (got, cfg.a.b) == (scope, 2)


def test_data_sets_alone_are_those_of_segmentation(tmp_path):
    (tmp_path / 'config.py').write_text('a = 1\n')
    assert read_data_config(str(tmp_path / 'config.py'))[1] == 'mmseg'


def test_other_scopes_are_refused(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("default_scope = 'mmdet'\n")
    with pytest.raises(ValueError, match=r"config\.py: default_scope: expected 'mmseg' or 'mmpret"):
        read_data_config(str(path))


def test_positions_are_spread():
    assert sample_positions(10, 4) == [0, 2, 5, 7]
    assert sample_positions(3, 32) == [0, 1, 2]
    assert sample_positions(0, 32) == []
