"""Classifiers on several views of an image, on two batches, and on fixed features."""

from paco_seg.cls.classifiers.ensemble import EnsembleClassifier
from paco_seg.cls.classifiers.gpaco_classifier import GPaCoClassifier
from paco_seg.cls.classifiers.momentum_encoder import MomentumEncoder
from paco_seg.cls.classifiers.multi_view_cls_data_preprocessor import MultiViewClsDataPreprocessor
from paco_seg.cls.classifiers.paco_classifier import PaCoClassifier

__all__ = [
    'EnsembleClassifier',
    'GPaCoClassifier',
    'MomentumEncoder',
    'MultiViewClsDataPreprocessor',
    'PaCoClassifier',
]
