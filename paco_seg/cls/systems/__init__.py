"""The training systems of image classification, in the order of their tables."""

from paco_seg.cls.systems.balanced_softmax import BALANCED_SOFTMAX
from paco_seg.cls.systems.ce import CE
from paco_seg.cls.systems.class_aware_sampling import CLASS_AWARE_SAMPLING
from paco_seg.cls.systems.class_weighted_ce import CLASS_WEIGHTED_CE
from paco_seg.cls.systems.crt import CRT
from paco_seg.cls.systems.focal import FOCAL
from paco_seg.cls.systems.gpaco import GPACO
from paco_seg.cls.systems.hybrid_psc import HYBRID_PSC
from paco_seg.cls.systems.hybrid_sc import HYBRID_SC
from paco_seg.cls.systems.ldam_drw import LDAM_DRW
from paco_seg.cls.systems.log_prior_test import LOG_PRIOR_TEST
from paco_seg.cls.systems.lws import LWS
from paco_seg.cls.systems.paco import PACO
from paco_seg.cls.systems.reslt import RESLT
from paco_seg.cls.systems.supcon_joint import SUPCON_JOINT
from paco_seg.cls.systems.tau_norm import TAU_NORM
from paco_seg.engine.systems import Systems

SYSTEMS = Systems(
    (
        CE,
        CLASS_WEIGHTED_CE,
        FOCAL,
        CLASS_AWARE_SAMPLING,
        LOG_PRIOR_TEST,
        TAU_NORM,
        CRT,
        LWS,
        BALANCED_SOFTMAX,
        LDAM_DRW,
        RESLT,
        SUPCON_JOINT,
        HYBRID_SC,
        HYBRID_PSC,
        PACO,
        GPACO,
    )
)

__all__ = ['SYSTEMS']
