"""The suites by name: what ``paco-seg compare --suite NAME`` runs."""

from paco_seg.comparison.suite import Suite
from paco_seg.comparison.suites.alpha_scale import ALPHA_SCALE
from paco_seg.comparison.suites.classification import DEMO_CLS, QUICKSTART_CLS
from paco_seg.comparison.suites.pixel_options import PIXEL_OPTIONS
from paco_seg.comparison.suites.segmentation import DEMO_SEG, QUICKSTART

__all__ = ['SUITES']

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (QUICKSTART, QUICKSTART_CLS, DEMO_SEG, DEMO_CLS, PIXEL_OPTIONS, ALPHA_SCALE)
}
