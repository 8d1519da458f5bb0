"""What the tests of the commands share."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from paco_seg import compat
from tests.conftest import CLASSES


@pytest.fixture
def save_checkpoint(tmp_path):
    """``save_checkpoint(config, name, seed)`` -> file with the weights of a fresh model.

    With ``means`` the means of the BatchNorm layers are random: 0 has no effect to lose.
    """

    def save(config, name='model.pth', seed=0, *, means=False):
        compat.setup()
        cfg = Config.fromfile(config)
        settings = dict(cfg.model)
        if 'data_preprocessor' in cfg:
            settings['data_preprocessor'] = cfg.data_preprocessor
        torch.manual_seed(seed)
        with MODELS.switch_scope_and_registry(cfg.default_scope):
            model = MODELS.build(settings)
        for module in model.modules() if means else ():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                torch.nn.init.normal_(module.running_mean)
        # MMPretrain's folders are classes in alphabetical order.
        classes = CLASSES if cfg.default_scope == 'mmseg' else tuple(sorted(CLASSES))
        meta = dict(dataset_meta=dict(classes=classes))
        torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / name)
        return tmp_path / name

    return save
