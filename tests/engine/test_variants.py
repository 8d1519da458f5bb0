"""Systems with settings in their names, on a config of one number."""

import pytest
from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Systems, TrainingSystem
from paco_seg.engine.variants import fixed, resolve_variant, split_name, variant_name


def system(name, **settings):
    def change(cfg, given, inputs):
        return [ModelChange(('head',), {name: dict(given)})]

    return TrainingSystem(
        name=name, title=name.upper(), paper='', summary=f'does {name}', change=change,
        imports=('os',), **settings,
    )  # fmt: skip


A = system('a', settings=dict(heads='main', weight=1.0), search=dict(weight=(1, 2), tau=(3, 4)),
           passes_on=True, combines_with=('b',))  # fmt: skip
B = system('b', settings=dict(tau=1.0), combines_with=('a',))
C = system('c', source='a', trains=False)
SYSTEMS = Systems((A, B, C))
CFG = Config(dict(model=dict(type='M', head=dict(type='H'))))


def settings_of(found, given=None):
    (change,) = found.changes(CFG, given)
    return change.settings


def test_a_name_without_settings_is_the_system():
    assert resolve_variant(SYSTEMS, 'a') is A


def test_a_setting_is_given_and_no_longer_searched():
    found = resolve_variant(SYSTEMS, 'a@weight=0.5@mode=auto')
    assert found.name == 'a@weight=0.5@mode=auto'
    assert found.title == 'A, weight 0.5, mode auto'
    assert found.search == dict(tau=(3, 4))
    assert settings_of(found, dict(tau=4))['a'] == dict(
        heads='main', weight=0.5, mode='auto', tau=4
    )
    assert settings_of(found, dict(weight=9))['a']['weight'] == 0.5


def test_settings_of_a_combination_name_their_system():
    found = resolve_variant(SYSTEMS, 'b+a@a.weight=7@b.tau=2')
    assert found.name == 'a+b@a.weight=7@b.tau=2'
    assert found.search == {'a.tau': (3, 4)}
    changed = settings_of(found)
    assert changed['a']['weight'] == 7
    assert changed['b'] == dict(tau=2)


def test_what_a_system_starts_from_stays():
    found = resolve_variant(SYSTEMS, 'c@x=1')
    assert (found.source, found.trains) == ('a', False)
    with pytest.raises(ValueError, match=r'c\.x: expected a setting of \(\), got 1'):
        found.changes(CFG)


@pytest.mark.parametrize(
    ('text', 'value'),
    [('1', 1), ('-0.5', -0.5), ('1e-3', 1e-3), ('True', True), ('None', None), ('auto', 'auto')],
)
def test_values(text, value):
    assert split_name(f'a@x={text}') == ('a', dict(x=value))
    assert type(split_name(f'a@x={text}')[1]['x']) is type(value)


@pytest.mark.parametrize(
    'name', ['a@', 'a@x', 'a@x=', 'a@x=1@x=2', 'a@x=1,2', 'a@x=[1]', 'a@x=../y', 'a@=1', 'a@x=1@']
)
def test_what_is_no_setting_is_refused(name):
    with pytest.raises(ValueError, match='system: expected a@SETTING=VALUE with each setting once'):
        resolve_variant(SYSTEMS, name)


def test_names_and_their_parts_are_inverse():
    settings = {'a.x': 0.1, 'y': 'auto', 'z': -1, 'w': False}
    assert split_name(variant_name('a+b', settings)) == ('a+b', settings)
    assert fixed(A, dict(x=1)).name == 'a@x=1'
    with pytest.raises(ValueError, match="Correct 'x="):
        variant_name('a', dict(x=[1, 2]))


def test_an_unknown_system_is_named():
    with pytest.raises(ValueError, match="got 'd'"):
        resolve_variant(SYSTEMS, 'd@x=1')
