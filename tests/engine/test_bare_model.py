from mmengine.model import BaseTTAModel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from paco_seg.engine.bare_model import bare_model


class Model(nn.Module):
    def test_step(self, data):
        """What test-time augmentation asks for."""


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


class TTA(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        return data_samples_list


def test_wrappers_around_each_other_and_around_test_time_augmentation(monkeypatch):
    monkeypatch.setitem(MODEL_WRAPPERS._module_dict, 'Wrapper', Wrapper)
    model = Model()
    assert bare_model(model) is model
    assert bare_model(Wrapper(Wrapper(model))) is model
    assert bare_model(Wrapper(TTA(model))) is model
    # What is called `module` in a model itself is a part of it.
    holder = nn.Module()
    holder.module = model
    assert bare_model(holder) is holder
