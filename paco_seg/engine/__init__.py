"""MMEngine-level pieces shared by segmentation and classification.

Launching, reading configs and checkpoints, checks before the first step, and hooks. Importing the
package registers its hooks and its model wrapper in MMEngine's registries.
"""

from paco_seg.engine.hooks import (
    CheckpointMatchHook,
    NumClassCheckHook,
    RNGStateHook,
    SettingsCheckHook,
)
from paco_seg.engine.launch import CPUDistributedDataParallel

__all__ = [
    'CPUDistributedDataParallel',
    'CheckpointMatchHook',
    'NumClassCheckHook',
    'RNGStateHook',
    'SettingsCheckHook',
]
