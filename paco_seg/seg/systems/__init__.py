"""Training systems for segmentation, in the order of the tables; each is one file."""

from paco_seg.engine.systems import Systems
from paco_seg.seg.systems import (
    aucseg,
    ce,
    ceco,
    class_weighted_ce,
    contrastive_seg,
    dice,
    focal,
    gpaco,
    log_prior,
    log_prior_test,
    ohem,
    rare_class_sampling,
    region_rebalance,
    seesaw,
)

SYSTEMS = Systems(
    (
        ce.SYSTEM,
        class_weighted_ce.SYSTEM,
        focal.SYSTEM,
        ohem.SYSTEM,
        dice.SYSTEM,
        seesaw.SYSTEM,
        aucseg.SYSTEM,
        rare_class_sampling.SYSTEM,
        gpaco.SYSTEM,
        log_prior.SYSTEM,
        log_prior_test.SYSTEM,
        region_rebalance.FROZEN,
        region_rebalance.LEARNABLE,
        region_rebalance.BIAS,
        ceco.SYSTEM,
        contrastive_seg.SYSTEM,
    )
)

__all__ = ['SYSTEMS']
