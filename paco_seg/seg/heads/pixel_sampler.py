"""Which pixels of an image take part in the contrast."""

from __future__ import annotations

from torch import Tensor

from paco_seg.core.checks import check_bool, check_choice
from paco_seg.core.sampling import (
    class_balance_weights,
    hardness_weights,
    importance_weights,
    uniform_indices,
    weighted_indices,
)

KEY = 'loss_contrast'
SELECTIONS = ('uniform', 'class_balanced', 'hard')


class PixelSampler:
    """Draws pixels of each image without replacement.

    Args:
        num_pixels: pixels drawn per image; -1 = all.
        pixel_selection: how pixels are drawn: 'uniform' (the paper), 'class_balanced' (every
            class present in the image is drawn equally often, as far as it has pixels) or 'hard'
            (in proportion to one minus the predicted probability of the true class).
        importance_weights: whether a drawn pixel counts in the loss as many times as its class
            has pixels for each drawn one: the mean over anchors is then an unbiased estimate of
            that over all pixels, although each is contrasted with the balanced draw. For
            'class_balanced' alone, where pixels of a class are drawn alike.

    Raises:
        ValueError: a setting is out of range; the message starts with ``loss_contrast.<key>``.
    """

    def __init__(
        self,
        *,
        num_pixels: int = 8192,
        pixel_selection: str = 'uniform',
        importance_weights: bool = False,
    ) -> None:
        is_integer = isinstance(num_pixels, int) and not isinstance(num_pixels, bool)
        if not is_integer or (num_pixels != -1 and num_pixels < 1):
            raise ValueError(
                f'{KEY}.num_pixels: expected a positive integer, or -1 for all pixels, '
                f'got {num_pixels!r}'
            )
        check_choice(f'{KEY}.pixel_selection', pixel_selection, SELECTIONS)
        check_bool(f'{KEY}.importance_weights', importance_weights)
        if importance_weights and pixel_selection != 'class_balanced':
            raise ValueError(
                f"{KEY}.pixel_selection: expected 'class_balanced' because importance_weights is "
                f'set, got {pixel_selection!r}. Choose it, or leave importance_weights out'
            )
        self.num_pixels = num_pixels
        self.pixel_selection = pixel_selection
        self.importance_weights = importance_weights

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Draw the pixels of a batch.

        Args:
            logits: (B, C, P) of the head; no gradient flows.
            labels: (B, P) int64; everything outside [0, C) is ignored.

        Returns:
            (B, num_pixels) int64 in [0, P); None where all P pixels are meant, in order.
        """
        pixels = labels.shape[1]
        if self.num_pixels == -1 or self.num_pixels >= pixels:
            return None
        if self.pixel_selection == 'uniform':
            return uniform_indices(len(labels), pixels, self.num_pixels, device=labels.device)
        if self.pixel_selection == 'class_balanced':
            weights = class_balance_weights(labels, logits.shape[1])
        else:
            weights = hardness_weights(logits.transpose(1, 2), labels)
        return weighted_indices(weights, self.num_pixels)

    def anchor_weights(self, labels: Tensor, drawn: Tensor, num_classes: int) -> Tensor | None:
        """Return how many pixels each drawn one stands for.

        Args:
            labels: (B, P) int64, of all pixels.
            drawn: (B, N) int64, of the drawn ones.
            num_classes: C.

        Returns:
            (B, N) float32; None where all count alike.
        """
        if not self.importance_weights:
            return None
        return importance_weights(labels, drawn, num_classes)
