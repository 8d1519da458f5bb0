"""Balanced contrastive learning: supervised contrast in which every class weighs the same.

Zhu et al., Balanced Contrastive Learning for Long-Tailed Visual Recognition, CVPR 2022 (arXiv
2207.09052). Two changes of :func:`paco_seg.core.compared.supcon.supcon_loss`: class averaging (a
class enters the denominator with its mean) and class complement (a prototype of every class is in
every contrast set).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core.checks import (
    check_integer,
    check_labels,
    check_range,
    check_shape,
    compute_dtype,
)


def bcl_loss(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    temperature: float,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    class_averaging: bool = True,
    class_complement: bool = True,
) -> Tensor:
    """Return the balanced contrastive loss of each anchor.

    With ``s_ia = z_i . a / T``, the contrast set A (every row, key and prototype), the members
    A_c of class c without i, their number n_ic, and the positives ``P(i) = A_{y_i}``::

        L_i = -1 / |P(i)| * sum_{k in P(i)} s_ik + log sum_c 1 / n_ic * sum_{a in A_c} exp(s_ia)

    The prototype of its class is a positive of every anchor, so that no anchor is without one, and
    n_ic >= 1. The loss of equal vectors is log C, whatever the batch. Memory is O(N (N + M + C)).

    Args:
        embeddings: (N, D) unit rows, all views of all images; all are anchors.
        labels: (N,) integer in [0, C).
        prototypes: (C, D) unit rows, one per class; they are no anchors. Gradient flows to them.
        temperature: T > 0; the recipes use 0.1 (CIFAR) and 0.07.
        keys: (M, D) further contrast rows, those of other ranks; gradient flows to them.
        key_labels: (M,) integer in [0, C).
        class_averaging: False sets n_ic to 1 in the denominator.
        class_complement: False leaves the prototypes out; an anchor without a positive gives 0.
            Without both this is the supervised contrastive loss.

    Returns:
        (N,) float32 (float64 for float64 input), in nats.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: labels are not integers.
        ValueError: the temperature is not positive, a label is no class, or only one of ``keys``
            and ``key_labels`` is given.
    """
    check_range('temperature', temperature, low=0.0, low_open=True)
    if (keys is None) != (key_labels is None):
        given, missing = ('keys', 'key_labels') if key_labels is None else ('key_labels', 'keys')
        raise ValueError(f'{missing}: expected a tensor because {given} is given, got None')
    if keys is None or key_labels is None:
        keys, key_labels = embeddings[:0], labels[:0]
    check_shape('embeddings', embeddings, ('N', 'D'))
    check_shape('prototypes', prototypes, ('C', embeddings.shape[1]))
    check_shape('labels', labels, (embeddings.shape[0],))
    check_shape('keys', keys, ('M', embeddings.shape[1]))
    check_shape('key_labels', key_labels, (keys.shape[0],))
    num_classes, num_anchors = len(prototypes), len(embeddings)
    for name, values in (('labels', labels), ('key_labels', key_labels)):
        check_integer(name, values)
        check_labels(name, values, num_classes)

    dtype = compute_dtype(embeddings, prototypes, keys)
    classes = torch.cat([labels.long(), key_labels.long()])
    rows = torch.cat([embeddings.to(dtype), keys.to(dtype)])
    if class_complement:
        rows = torch.cat([rows, prototypes.to(dtype)])
        classes = torch.cat([classes, torch.arange(num_classes, device=labels.device)])
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        similarity = F.linear(embeddings.to(dtype), rows) / temperature
        own = classes == labels.unsqueeze(1)
        itself = torch.arange(len(rows), device=labels.device)
        itself = itself == torch.arange(num_anchors, device=labels.device).unsqueeze(1)
        exponents = similarity
        if class_averaging:
            members = similarity.new_zeros(num_classes).index_add(
                0, classes, similarity.new_ones(len(classes))
            )
            # The anchor is no member of its own contrast set; it is masked where that leaves none.
            numbers = (members[classes] - own.to(dtype)).clamp(min=1)
            exponents = similarity - numbers.log()
        log_denominator = exponents.masked_fill(itself, -torch.inf).logsumexp(dim=1)
        positive = own & ~itself
        count = positive.sum(dim=1)
        positive_sum = similarity.masked_fill(~positive, 0.0).sum(dim=1)
        values = log_denominator - positive_sum / count.clamp(min=1)
        # Without prototypes an anchor may be alone, where the logarithm is that of 0.
        return values.masked_fill(count == 0, 0.0) if not class_complement else values
