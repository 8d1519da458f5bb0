from paco_seg.engine.signatures import named_arguments


class Base:
    def __init__(self, a, b=1, *rest, c=2, **others):
        pass


class Silent(Base):
    pass


class Own(Silent):
    def __init__(self, b=3, **others):
        super().__init__(0, **others)


def test_each_class_counts_by_a_constructor_of_its_own():
    assert named_arguments([Silent]) == {}
    assert named_arguments([Own]) == dict(b=3)
    assert list(named_arguments(Own.__mro__)) == ['b', 'a', 'c']


def test_of_several_defaults_the_last_counts():
    assert named_arguments([Own, Base])['b'] == 1
