"""``--cfg-options`` of all commands."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser, Namespace
from typing import Any

from mmengine.config import DictAction


class ConfigOptions(DictAction):
    """MMEngine's ``--cfg-options``, and ``key==text`` for a text that is taken as it is.

    MMEngine removes blanks from a value, and a comma makes a list of it: a path may have both.
    """

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the options to those of the namespace."""
        for pair in values:
            key, sign, value = pair.partition('=')
            if not (key and sign):
                raise ArgumentError(self, f'expected KEY=VALUE, got {pair!r}')
            if value.startswith('='):
                former = getattr(namespace, self.dest) or {}
                setattr(namespace, self.dest, {**former, key: value[1:]})
            else:
                try:
                    super().__call__(parser, namespace, [pair], option_string)
                except (AssertionError, RecursionError) as error:  # MMEngine's, of the brackets
                    raise ArgumentError(
                        self,
                        f'{key}: expected a value with balanced brackets, got {value!r}. '
                        f'{key}=={value} takes the text as it is',
                    ) from error
