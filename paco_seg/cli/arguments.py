"""What commands share about their arguments: ranges of numbers, kinds of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable

# Of the formats that Matplotlib writes, those that are offered.
PICTURES = ('.png', '.pdf', '.svg', '.eps', '.ps', '.jpg', '.jpeg', '.tif', '.tiff', '.webp')


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
