"""What constructors take by name, for configs and for messages about them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any


def named_arguments(classes: Iterable[type]) -> dict[str, Any]:
    """Return the arguments that constructors name, and their defaults.

    Args:
        classes: of which each counts by the constructor of its own, if it has one; an argument of
            several has the default of the last.

    Example:
        >>> class A:
        ...     def __init__(self, a, *rest, b=2, **others): ...
        >>> list(named_arguments([A])), named_arguments([A])['b']
        (['a', 'b'], 2)
    """
    return {
        name: parameter.default
        for cls in classes
        if '__init__' in vars(cls)
        for name, parameter in inspect.signature(vars(cls)['__init__']).parameters.items()
        if name != 'self'
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
