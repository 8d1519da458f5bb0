"""The projection MLP of image embeddings."""

from __future__ import annotations

from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import nn

from paco_seg.core.checks import check_bool, check_count, check_num_layers

KEY = 'model.head.projector'


def linear_projector(
    in_channels: int,
    *,
    num_layers: int = 3,
    hidden_channels: int | None = None,
    out_channels: int = 128,
    norm: str | None = None,
    act: str = 'ReLU',
    kaiming_last: bool = False,
) -> nn.Sequential:
    """Linear layers, all but the last followed by norm and activation.

    GPaCo: 3 layers without norm, GELU on ViT. PaCo: 2 layers with ``norm='BN1d'``. Maps
    (N, in_channels) to (N, out_channels).

    Args:
        in_channels: width of the pooled feature.
        num_layers: linear layers, >= 1.
        hidden_channels: width between them; None = ``in_channels``.
        out_channels: width of the embedding.
        norm: type of a registered norm layer, or None.
        act: type of a registered activation.
        kaiming_last: draw the weight of the last layer by Kaiming (normal, fan-in), as the authors
            on CIFAR; all else has PyTorch's initialisation.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: a number of layers or channels is below 1, or of layers above 1000.
    """
    check_num_layers(f'{KEY}.num_layers', num_layers)
    check_count(f'{KEY}.out_channels', out_channels, low=1)
    hidden_channels = in_channels if hidden_channels is None else hidden_channels
    check_count(f'{KEY}.hidden_channels', hidden_channels, low=1)
    check_bool(f'{KEY}.kaiming_last', kaiming_last)
    for name, value in (('norm', '' if norm is None else norm), ('act', act)):
        if not isinstance(value, str):
            raise TypeError(f'{KEY}.{name}: expected the name of a layer, got {value!r}')
    layers: list[nn.Module] = []
    for _ in range(num_layers - 1):
        layers.append(nn.Linear(in_channels, hidden_channels))
        if norm is not None:
            layers.append(build_norm_layer(dict(type=norm), hidden_channels)[1])
        layers.append(build_activation_layer(dict(type=act)))
        in_channels = hidden_channels
    last = nn.Linear(in_channels, out_channels)
    if kaiming_last:
        nn.init.kaiming_normal_(last.weight)
    return nn.Sequential(*layers, last)
