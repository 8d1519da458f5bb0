"""MMEngine hooks that need MMPretrain; importing this package registers them."""

from paco_seg.cls.hooks.class_count_hook import ClassCountHook

__all__ = ['ClassCountHook']
