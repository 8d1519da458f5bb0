"""MMEngine hooks; importing this package registers them."""

from paco_seg.engine.hooks.checkpoint_match_hook import CheckpointMatchHook
from paco_seg.engine.hooks.num_class_check_hook import NumClassCheckHook
from paco_seg.engine.hooks.rng_state_hook import RNGStateHook
from paco_seg.engine.hooks.training_check_hook import TrainingCheckHook

__all__ = ['CheckpointMatchHook', 'NumClassCheckHook', 'RNGStateHook', 'TrainingCheckHook']
