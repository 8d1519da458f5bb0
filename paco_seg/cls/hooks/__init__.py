"""MMEngine hooks that need MMPretrain; importing this package registers them."""

from .class_count_hook import ClassCountHook
from .training_progress_hook import TrainingProgressHook

__all__ = ['ClassCountHook', 'TrainingProgressHook']
