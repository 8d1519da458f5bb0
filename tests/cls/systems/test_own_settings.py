"""Settings of classification systems, as ``paco-seg swap --set`` gives them."""

import pytest

from paco_seg import compat
from paco_seg.cls.systems import SYSTEMS
from paco_seg.engine.model_changes import read_config
from paco_seg.engine.systems import SystemInputs

compat.setup()
PASSING_ON = [name for name, system in SYSTEMS.items() if system.passes_on]


@pytest.fixture(scope='module')
def cfg():
    return read_config('mmpretrain::resnet/resnet18_8xb16_cifar10.py')


def put(name, cfg, **settings):
    return SYSTEMS.resolve(name).apply(cfg, settings, SystemInputs())


def test_these_are_the_systems_with_losses_of_their_own():
    assert {'gpaco', 'paco', 'bcl', 'proco', 'supcon-joint', 'hybrid-sc'} < {*PASSING_ON}


@pytest.mark.parametrize('name', PASSING_ON)
def test_an_unknown_setting_is_answered_with_all_that_exist(name, cfg):
    with pytest.raises(ValueError, match=rf'^{name}\.temprature: expected a setting of') as refused:
        put(name, cfg, temprature=0.1)
    for known in (*SYSTEMS[name].settings, *SYSTEMS[name].search):
        assert repr(known) in str(refused.value)


@pytest.mark.parametrize('name', PASSING_ON)
def test_the_projector_is_given_by_its_settings(name, cfg):
    found = put(name, cfg, **{'projector.out_channels': 32, 'projector.num_layers': 2})
    assert found.model.head.projector == dict(out_channels=32, num_layers=2)
    assert put(name, cfg, projector=dict(num_layers=2)).model.head.projector == dict(num_layers=2)
    message = (
        rf'^{name}\.projector: expected its settings one by one, such as projector\.num_layers=2'
    )
    with pytest.raises(ValueError, match=message):
        put(name, cfg, projector='dict(num_layers=2)')


def test_a_part_of_a_combination_has_a_projector_too(cfg):
    name = 'supcon-joint+class-aware-sampling'
    found = put(name, cfg, **{'supcon-joint.projector.num_layers': 2})
    assert found.model.head.projector == dict(num_layers=2)
