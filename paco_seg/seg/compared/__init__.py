"""Systems that GPaCo is compared with: losses, and branches of a decode head."""

from paco_seg.seg.compared.ceco_branch import CeCoBranch
from paco_seg.seg.compared.contrastive_seg_branch import ContrastiveSegBranch
from paco_seg.seg.compared.logit_adjusted_cross_entropy_loss import LogitAdjustedCrossEntropyLoss
from paco_seg.seg.compared.logit_adjusted_decode_head import LogitAdjustedDecodeHead
from paco_seg.seg.compared.pixel_seesaw_loss import PixelSeesawLoss
from paco_seg.seg.compared.region_bias_decode_head import RegionBias, RegionBiasDecodeHead
from paco_seg.seg.compared.region_branch import RegionBranch
from paco_seg.seg.compared.region_rebalance_branch import RegionRebalanceBranch
from paco_seg.seg.compared.softmax_dice_loss import SoftmaxDiceLoss
from paco_seg.seg.compared.softmax_focal_loss import SoftmaxFocalLoss
from paco_seg.seg.compared.square_auc_loss import SquareAUCLoss

__all__ = [
    'CeCoBranch',
    'ContrastiveSegBranch',
    'LogitAdjustedCrossEntropyLoss',
    'LogitAdjustedDecodeHead',
    'PixelSeesawLoss',
    'RegionBias',
    'RegionBiasDecodeHead',
    'RegionBranch',
    'RegionRebalanceBranch',
    'SoftmaxDiceLoss',
    'SoftmaxFocalLoss',
    'SquareAUCLoss',
]
