from types import SimpleNamespace

import pytest
from torch import nn

from paco_seg.engine.hooks import NumClassCheckHook


def runner(classes=('a', 'b', 'c'), **heads):
    model = nn.Module()
    for name, head in heads.items():
        model.add_module(name, head)
    metainfo = {} if classes is None else {'classes': classes}
    dataset = SimpleNamespace(metainfo=metainfo)
    return SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset), model=model)


def head(num_classes: int, **attributes) -> nn.Module:
    module = nn.Module()
    module.num_classes = num_classes
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(
    ('heads', 'key'),
    [
        ({'decode_head': head(19)}, r'model\.decode_head'),
        ({'head': head(19)}, r'model\.head'),
        (
            {'decode_head': head(3), 'auxiliary_head': nn.ModuleList([head(3), head(19)])},
            r'model\.auxiliary_head\[1\]',
        ),
    ],
)
def test_a_mismatch_is_refused(heads, key):
    with pytest.raises(
        ValueError, match=rf'{key}\.num_classes: expected 3 .*, got 19\. Set it to 3'
    ):
        NumClassCheckHook().before_train(runner(**heads))


def test_what_cannot_be_compared_passes():
    check = NumClassCheckHook().before_train
    check(runner(decode_head=head(3), auxiliary_head=head(2, out_channels=1)))
    check(runner(decode_head=head(3), auxiliary_head=head(2, boundary_threshold=0.1)))
    check(runner(classes=None, head=head(19)))
    check(runner(head=nn.Linear(1, 1)))


class Prior(nn.Module):
    """A part that knows class names, as every loss with a frequency file does."""

    def check_class_names(self, classes):
        if list(classes) != ['a', 'b', 'c']:
            raise ValueError(f"loss.frequency_file: expected class 0 to be {classes[0]!r}, got 'a'")


def test_every_part_that_knows_names_is_asked():
    model = head(3)
    model.losses = nn.ModuleList([nn.Identity(), Prior()])
    NumClassCheckHook().before_train(runner(decode_head=model))
    with pytest.raises(ValueError, match=r"^loss\.frequency_file: expected class 0 to be 'b'"):
        NumClassCheckHook().before_train(runner(('b', 'a', 'c'), decode_head=model))
