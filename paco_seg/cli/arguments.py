"""What commands share about their arguments: ranges of numbers, and how a refusal ends."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator


def at_least(least: int) -> Callable[[str], int]:
    """Return an argparse type for integers from ``least`` on."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f'expected at least {least}, got {text}')
        return value

    return integer


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """End the program with the message alone where an argument or a file is refused (status 2).

    A training that failed (RuntimeError) ends it with status 1.
    """
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1 if isinstance(error, RuntimeError) else 2) from error
