"""Training systems for image classification, in the order of the tables; each is one file."""

from paco_seg.cls.systems import (
    balanced_softmax,
    bcl,
    ce,
    class_aware_sampling,
    class_weighted_ce,
    crt,
    focal,
    gpaco,
    hybrid_psc,
    hybrid_sc,
    ldam_drw,
    lift,
    log_prior_test,
    lws,
    paco,
    proco,
    reslt,
    supcon_joint,
    tau_norm,
)
from paco_seg.engine.systems import Systems

SYSTEMS = Systems(
    (
        ce.SYSTEM,
        class_weighted_ce.SYSTEM,
        focal.SYSTEM,
        class_aware_sampling.SYSTEM,
        log_prior_test.SYSTEM,
        tau_norm.SYSTEM,
        crt.SYSTEM,
        lws.SYSTEM,
        balanced_softmax.SYSTEM,
        ldam_drw.SYSTEM,
        reslt.SYSTEM,
        supcon_joint.SYSTEM,
        hybrid_sc.SYSTEM,
        hybrid_psc.SYSTEM,
        bcl.SYSTEM,
        proco.SYSTEM,
        paco.SYSTEM,
        gpaco.SYSTEM,
        lift.SYSTEM,
    )
)

__all__ = ['SYSTEMS']
