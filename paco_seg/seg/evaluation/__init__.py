"""Metrics registered in MMSegmentation."""

from paco_seg.seg.evaluation.long_tail_iou_metric import LongTailIoUMetric

__all__ = ['LongTailIoUMetric']
