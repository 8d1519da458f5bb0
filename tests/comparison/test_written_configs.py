"""Options of the command line reach the configs that a comparison writes."""

from mmengine.config import Config

from paco_seg.cli.compare import config_options
from paco_seg.comparison.written_configs import option_changes
from paco_seg.engine.model_changes import merged_changes, render_config

BASE = """
custom_imports = dict(imports=[], allow_failed_imports=False)
train_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(type='A', indices=3))
load_from = 'there'
"""


def test_a_written_config_has_the_options(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    cfg = Config.fromfile(tmp_path / 'base.py')
    words = ['train_dataloader.num_workers=2', 'train_dataloader.dataset.indices=[1,2]',
             'load_from=None']  # fmt: skip
    options = config_options(words)
    changes = merged_changes(option_changes(options))
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, changes, ()))
    found = Config.fromfile(tmp_path / 'new.py')
    assert found.train_dataloader == dict(
        batch_size=8, num_workers=2, dataset=dict(type='A', indices=[1, 2])
    )
    assert found.load_from is None


def test_no_options():
    assert config_options(None) is None
    assert option_changes({}) == []
