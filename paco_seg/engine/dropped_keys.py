"""Tells in the log how many keys a queue has refused."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

from paco_seg.core import KeyQueue

# Steps between two looks at the counter, each of which waits for the device.
INTERVAL = 50


class DroppedKeys:
    """Report of the keys that were not finite and did not enter a queue.

    Args:
        key: of the queue in the model, for the log.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self._steps = 0
        self._reported = 0

    def report(self, queue: KeyQueue) -> None:
        """Log the number of dropped keys if it has grown; to be called once a step.

        It looks after the first step, and then every ``INTERVAL`` steps.
        """
        self._steps += 1
        if self._steps != 1 and self._steps % INTERVAL:
            return
        dropped = int(queue.dropped)
        if dropped > self._reported:
            self._reported = dropped
            print_log(
                f'{self.key}: expected finite keys, got {dropped} so far that are not, which did '
                'not enter the queue. With half precision a few may overflow at the start; if the '
                'number keeps growing, lower the learning rate or train in float32',
                logger='current',
                level=logging.WARNING,
            )
