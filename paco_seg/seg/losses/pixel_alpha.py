"""alpha of the pixel loss: a number, or derived from class frequencies; reported at the start."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor

from paco_seg.core.alpha import (
    SEGMENTATION,
    alpha_products,
    alpha_report,
    alpha_warning,
    auto_alpha,
    expected_positives,
)
from paco_seg.core.frequency import REMEDY, ClassFrequency, check_classes, load_class_frequency
from paco_seg.core.paco import check_alpha

KEY = 'loss_contrast.alpha'
FILE_KEY = 'loss_contrast.frequency_file'
REMEDY_ALPHA = "The paper uses 0.01 to 0.03; 'auto' derives it from class frequencies"


class PixelAlpha:
    """Weight of one pixel positive for any number of pixels in a contrast set.

    Args:
        alpha: the weight, > 0; or 'auto': the class that meets most positives, the queue
            included, then meets alpha |P| = 1.
        frequency_file: class frequencies of the training set, needed by 'auto'. With a number,
            the product alpha |P| of head, common and tail classes is logged at the first step,
            with a warning outside the range of the published recipes. Without it, or where it
            counts no pixels, the log says how to get this report.
        within_image: whether a contrast set is one image (else many images).

    Raises:
        ValueError: ``alpha`` is out of range, or 'auto' without pixel counts.
    """

    def __init__(
        self, alpha: float | str, frequency_file: str | None, *, within_image: bool
    ) -> None:
        self.frequency: ClassFrequency | None = None
        self._shares: tuple[Tensor, Tensor] | None = None  # of the pixels of a set, of the queue
        if frequency_file is not None:
            self.frequency = load_class_frequency(frequency_file, FILE_KEY)
            if alpha == 'auto' or self.frequency.pixels is not None:
                self._shares = (
                    pixel_shares(self.frequency, within_image=within_image),
                    queue_shares(self.frequency),
                )
        elif alpha == 'auto':
            raise ValueError(
                f"{FILE_KEY}: expected a file because alpha is 'auto', got None. {REMEDY}"
            )
        check_alpha(KEY, alpha, REMEDY_ALPHA)
        self.alpha = alpha
        self._resolved: dict[tuple[int, int], float] = {}

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse a frequency file about other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        if self.frequency is not None:
            check_classes(self.frequency, classes, FILE_KEY)

    @torch.compiler.assume_constant_result  # the log is no part of a compiled graph
    def resolve(self, num_rows: int, num_keys: int = 0) -> float:
        """Return alpha for sets of ``num_rows`` pixels; log the scale of alpha the first time.

        Args:
            num_rows: pixels that contrast with each other.
            num_keys: slots of the queue, which each of them meets too, once it is full.
        """
        size = (num_rows, num_keys)
        if size not in self._resolved:
            first = not self._resolved
            if self.frequency is None or self._shares is None:
                self._resolved[size] = float(self.alpha)
                if first:
                    print_log(
                        f'{KEY}: {self.alpha:g}. What acts is alpha |P|, its product with the '
                        'positives of a pixel: set loss_contrast.frequency_file to one that '
                        f'counts pixels to have it reported by class group. {REMEDY}',
                        logger='current',
                    )
            else:
                own, queued = self._shares
                positives = expected_positives(own, max(num_rows - 1, 1))
                positives = positives + expected_positives(queued, num_keys)
                self._resolved[size] = self._from_positives(self.frequency, positives, first)
        return self._resolved[size]

    def _from_positives(self, frequency: ClassFrequency, positives: Tensor, report: bool) -> float:
        if self.alpha == 'auto':
            alpha = auto_alpha(positives, SEGMENTATION.target)
        else:
            alpha = float(self.alpha)
        if report:
            products = alpha_products(alpha, positives, frequency.groups('images'))
            print_log(alpha_report(alpha, products), logger='current')
            message = alpha_warning(alpha, positives, SEGMENTATION, KEY)
            if message:
                print_log(message, logger='current', level=logging.WARNING)
        return alpha


def pixel_shares(frequency: ClassFrequency, *, within_image: bool) -> Tensor:
    """Return the share of each class among the pixels that one of its pixels meets.

    Within an image: the mean share of the class in the images that contain it, for a pixel only
    ever meets such images. Across images: its share of all pixels.

    Returns:
        (C,) float64 in [0, 1].

    Raises:
        ValueError: the file has no pixel counts.
    """
    pixels = torch.from_numpy(frequency.counts('pixels', key=FILE_KEY)).double()
    shares = pixels / pixels.sum()
    if within_image:
        images = torch.from_numpy(frequency.counts('images')).double()
        shares = shares * frequency.num_images / images.clamp(min=1)
    return shares.clamp(max=1.0)


def queue_shares(frequency: ClassFrequency) -> Tensor:
    """Return the share of each class in a full queue of pixels.

    Every image adds as many pixels of each of its classes, where it has so many
    (``loss_contrast.queue_pixels_per_class``), so a class counts by its images.

    Returns:
        (C,) float64 in [0, 1].
    """
    images = torch.from_numpy(frequency.counts('images')).double()
    return images / images.sum()
