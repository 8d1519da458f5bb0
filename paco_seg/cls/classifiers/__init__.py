"""Classifiers on several views of an image, on two batches, and on fixed features."""

from .ensemble import EnsembleClassifier
from .frozen_feature_classifier import FrozenFeatureClassifier
from .gpaco_classifier import GPaCoClassifier
from .hybrid_classifier import HybridClassifier
from .momentum_encoder import MomentumEncoder
from .multi_view_cls_data_preprocessor import MultiViewClsDataPreprocessor
from .paco_classifier import PaCoClassifier

__all__ = [
    'EnsembleClassifier',
    'FrozenFeatureClassifier',
    'GPaCoClassifier',
    'HybridClassifier',
    'MomentumEncoder',
    'MultiViewClsDataPreprocessor',
    'PaCoClassifier',
]
