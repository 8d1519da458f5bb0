"""The contract of training systems, on a config of two numbers."""

import pytest
from mmengine.config import Config

from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.model_changes import Inherited, ModelChange, apply_changes, render_config
from paco_seg.engine.systems import Needs, SystemInputs, Systems, TrainingSystem, refusal


def system(name, change=None, **settings):
    def width(cfg, given, inputs):
        return [ModelChange(('head',), {name: dict(given), 'seen': sorted(cfg.model.head)})]

    return TrainingSystem(
        name=name, title=name.upper(), paper='', summary=f'does {name}',
        change=change or width, imports=('os',), **settings,
    )  # fmt: skip


@pytest.fixture
def cfg():
    return Config(dict(model=dict(type='M', head=dict(type='H', width=3)), load_from=None))


A = system('a', settings=dict(heads='main', weight=1.0), search=dict(weight=(1, 2)),
           combines_with=('b',), inference='much')  # fmt: skip
B = system('b', settings=dict(heads='main', tau=1.0), search=dict(tau=(3,)), hooks=('Hook',),
           combines_with=('a',), needs=Needs(class_frequencies=True))  # fmt: skip
C = system('c', source='a', trains=False, passes_on=True)
SYSTEMS = Systems((A, B, C))


def test_a_mapping_in_order():
    assert list(SYSTEMS) == ['a', 'b', 'c']
    assert SYSTEMS['b'] is B
    assert 'd' not in SYSTEMS
    assert SYSTEMS.get('d') is None
    assert SYSTEMS.combinations() == ['a+b']


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('d', r"expected one of a, b, c or a combination such as a\+b, got 'd'"),
        ('a+d', "got 'd'"),
        ('a+a', r"expected different systems, got 'a\+a'"),
        ('a+c', 'a combines with b; c combines with no other system'),
    ],
)
def test_what_does_not_resolve_says_why(name, message):
    with pytest.raises(ValueError, match=f'system: .*{message}'):
        SYSTEMS.resolve(name)


@pytest.mark.parametrize(
    ('systems', 'message'),
    [
        ((A, A), 'different names'),
        ((A, system('b')), r"b\.combines_with: expected 'a' in it"),
        ((B,), "b: expected a listed system, got 'a'"),
        ((C,), "c: expected a listed system, got 'a'"),
    ],
)
def test_a_list_that_does_not_fit_together_is_refused(systems, message):
    with pytest.raises(ValueError, match=message):
        Systems(systems)


def test_changes_get_complete_settings(cfg):
    (change,) = A.changes(cfg, dict(weight=5))
    assert change.settings['a'] == dict(heads='main', weight=5)
    with pytest.raises(ValueError, match=r"a\.tau: expected a setting of \('heads', 'weight'\)"):
        A.changes(cfg, dict(tau=1))
    (change,) = C.changes(cfg, dict(anything=1))
    assert change.settings['c'] == dict(anything=1)


def test_missing_class_frequencies_are_refused(cfg, tmp_path):
    with pytest.raises(ValueError, match=r'b\.frequency_file: expected the class frequencies'):
        B.changes(cfg)
    assert B.changes(cfg, inputs=SystemInputs('x.json'))
    with pytest.raises(ValueError, match=r'key: expected the class frequencies'):
        SystemInputs().class_frequency('key')
    frequency = ClassFrequency(None, (2, 1), None, 3)
    save_class_frequency(frequency, tmp_path / 'x.json')
    assert SystemInputs(str(tmp_path / 'x.json')).class_frequency('key') == frequency
    assert SystemInputs('nowhere.json', frequency).class_frequency('key') == frequency


def test_a_combination_makes_both_changes(cfg):
    both = SYSTEMS.resolve('b+a')  # the order of the list counts
    assert both.name == 'a+b'
    assert both.title == 'A + B'
    assert both.search == {'a.weight': (1, 2)}
    assert both.needs.class_frequencies
    assert (both.hooks, both.inference, both.trains) == (('Hook',), 'much', True)
    settings = {'a.weight': 7, 'b.tau': 2, 'heads': 'all'}
    (change,) = both.changes(cfg, settings, SystemInputs('x.json'))
    assert change.settings['a'] == dict(heads='all', weight=7)
    assert change.settings['b'] == dict(heads='all', tau=2)
    assert 'a' in change.settings['seen']  # the second one sees the config of the first
    assert both.changes(cfg, dict(tau=4), SystemInputs('x.json'))[0].settings['b']['tau'] == 4
    with pytest.raises(ValueError, match=r"other: expected a setting such as 'a\.SETTING'"):
        both.changes(cfg, dict(other=1), SystemInputs('x.json'))


def test_partners_are_told():
    seen = []

    def change(cfg, given, inputs):
        seen.append(inputs.partners)
        return []

    pair = (
        system('a', change, combines_with=('b',)),
        system('b', change, combines_with=('a',), settings=dict(tau=1.0)),
    )
    Systems(pair).resolve('a+b').changes(Config(dict(model=dict())), {'b.tau': 0.5})
    assert seen == [{'b': {'tau': 0.5}}, {'a': {}}]


def test_the_written_config_is_the_changed_one(cfg, tmp_path):
    (tmp_path / 'base.py').write_text(f'model = {cfg.model.to_dict()!r}\nload_from = None\n')
    cfg = Config.fromfile(tmp_path / 'base.py')
    (tmp_path / 'new.py').write_text(A.render('base.py', cfg, dict(weight=2)))
    assert Config.fromfile(tmp_path / 'new.py').to_dict() == A.apply(cfg, dict(weight=2)).to_dict()


def test_two_that_act_on_the_same_do_not_combine():
    pair = Systems((system('a', acts_on='the prior'), system('b', acts_on='the prior')))
    with pytest.raises(ValueError, match='Both act on the prior'):
        pair.resolve('a+b')


def test_a_refusal_names_key_value_and_reason():
    error = refusal('model.head', 'a head', None, 'Add one')
    assert str(error) == 'model.head: expected a head, got None. Add one'


CASCADE = """
load_from = None
crop = (4, 4)
model = dict(type='M', heads=[dict(type='A', loss=dict(type='L', w=1)), dict(type='B')])
loader = dict(batch_size=2, dataset=dict(type='D', root='data', size=crop))
"""


@pytest.mark.parametrize(
    'changes',
    [
        # keys of the config itself
        [ModelChange((), dict(load_from='start.pth', extra=dict(a=1)), root='')],
        # a part around what is there
        [
            ModelChange(
                (),
                dict(
                    dataset=dict(_delete_=True, type='W', dataset=Inherited(('loader', 'dataset')))
                ),
                root='loader',
            )
        ],
        # parts inside an element of a list: merged, and replaced
        [ModelChange(('heads', 0), dict(loss=dict(w=2)))],
        [ModelChange(('heads', 0), dict(loss=dict(_delete_=True, type='K')))],
        # an element replaced
        [ModelChange(('heads', 1), dict(_delete_=True, type='C'))],
    ],
)
def test_every_kind_of_change_is_written_as_it_is_applied(changes, tmp_path):
    (tmp_path / 'base.py').write_text(CASCADE)
    cfg = Config.fromfile(tmp_path / 'base.py')
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, changes, ['os']))
    written = Config.fromfile(tmp_path / 'new.py').to_dict()
    assert written == apply_changes(cfg, changes, ['os']).to_dict()
    assert '_delete_' not in str(written)
