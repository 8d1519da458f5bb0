"""MMEngine hooks; importing this package registers them."""

from paco_seg.engine.hooks.accumulated_gradient_hook import AccumulatedGradientHook
from paco_seg.engine.hooks.channels_last_hook import ChannelsLastHook
from paco_seg.engine.hooks.checkpoint_match_hook import CheckpointMatchHook
from paco_seg.engine.hooks.class_memory_hook import ClassMemoryHook
from paco_seg.engine.hooks.class_names_check_hook import ClassNamesCheckHook
from paco_seg.engine.hooks.contrast_diagnostics_hook import ContrastDiagnosticsHook
from paco_seg.engine.hooks.durable_checkpoint_hook import DurableCheckpointHook
from paco_seg.engine.hooks.loader_length_hook import LoaderLengthHook
from paco_seg.engine.hooks.non_finite_loss_hook import NonFiniteLossHook
from paco_seg.engine.hooks.num_class_check_hook import NumClassCheckHook
from paco_seg.engine.hooks.pretrained_fit_hook import PretrainedFitHook
from paco_seg.engine.hooks.resume_check_hook import ResumeCheckHook
from paco_seg.engine.hooks.rng_state_hook import RNGStateHook
from paco_seg.engine.hooks.settings_check_hook import SettingsCheckHook
from paco_seg.engine.hooks.small_map_depthwise_hook import SmallMapDepthwiseHook

__all__ = [
    'AccumulatedGradientHook',
    'ChannelsLastHook',
    'CheckpointMatchHook',
    'ClassMemoryHook',
    'ClassNamesCheckHook',
    'ContrastDiagnosticsHook',
    'DurableCheckpointHook',
    'LoaderLengthHook',
    'NonFiniteLossHook',
    'NumClassCheckHook',
    'PretrainedFitHook',
    'RNGStateHook',
    'ResumeCheckHook',
    'SettingsCheckHook',
    'SmallMapDepthwiseHook',
]
