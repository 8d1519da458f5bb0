"""Finds the classifier of a model, whose rows are the class centers."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

# Last layers of the heads: classifiers, decode heads, PointRend, the branch of mask heads.
CLASSIFIERS = ('fc', 'conv_seg', 'fc_seg', 'classifier')


def classifier_beside(model: nn.Module, name: str) -> nn.Module | None:
    """Return the classifier of a module, or of the nearest module around it that has one.

    Args:
        model: the whole.
        name: of the module in it.

    Returns:
        None if there is none.
    """
    parts = name.split('.') if name else []
    for length in range(len(parts), -1, -1):
        module = model.get_submodule('.'.join(parts[:length]))
        # The branches of one head are side by side.
        beside = module.values() if isinstance(module, nn.ModuleDict) else ()
        for holder in (module, *beside):
            for key in CLASSIFIERS:
                found = getattr(holder, key, None)
                if isinstance(getattr(found, 'weight', None), Tensor):
                    return cast(nn.Module, found)
    return None


def centers_of(classifier: nn.Module) -> Tensor:
    """Return the rows of a linear layer or 1x1 convolution, (C, D)."""
    return cast(Tensor, classifier.weight).detach().flatten(1)
