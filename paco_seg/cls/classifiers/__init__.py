"""Classifiers that train on several views of an image."""

from .ensemble import EnsembleClassifier
from .gpaco_classifier import GPaCoClassifier
from .momentum_encoder import MomentumEncoder
from .multi_view_cls_data_preprocessor import MultiViewClsDataPreprocessor
from .paco_classifier import PaCoClassifier

__all__ = [
    'EnsembleClassifier',
    'GPaCoClassifier',
    'MomentumEncoder',
    'MultiViewClsDataPreprocessor',
    'PaCoClassifier',
]
