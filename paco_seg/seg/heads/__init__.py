"""Decode heads with training-only branches."""

from paco_seg.seg.heads.branch_decode_head import BranchDecodeHead
from paco_seg.seg.heads.gpaco_branch import GPaCoBranch
from paco_seg.seg.heads.gpaco_decode_head import GPaCoDecodeHead
from paco_seg.seg.heads.pixel_classifier_branch import PixelClassifierBranch
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch

__all__ = [
    'BranchDecodeHead',
    'BranchInputs',
    'GPaCoBranch',
    'GPaCoDecodeHead',
    'PixelClassifierBranch',
    'TrainingBranch',
]
