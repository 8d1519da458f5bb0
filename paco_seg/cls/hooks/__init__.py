"""MMEngine hooks that need MMPretrain; importing this package registers them."""

from .class_count_hook import ClassCountHook

__all__ = ['ClassCountHook']
