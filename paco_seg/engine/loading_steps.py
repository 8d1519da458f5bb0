"""The loading steps of a data pipeline, run one by one, each built when it is needed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.registry import DefaultScope, Registry


class LoadingSteps:
    """Steps of a pipeline by position.

    A step is built at its first use: counting labels must not ask for the package that reads the
    images.

    Args:
        pipeline: step configs, or transforms.
        registry: builds and finds the steps.
        scope: default scope of the config.
        key: config key of the pipeline, for errors.
    """

    def __init__(self, pipeline: Sequence[Any], registry: Registry, scope: str, key: str) -> None:
        self.key = key
        self._configs = list(pipeline)
        self._registry = registry
        self._scope = scope
        self._built: dict[int, Callable[[dict], dict | None]] = {}

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._configs)

    def kind(self, index: int) -> type:
        """Return the class of a step; ``object`` if it is not known."""
        config = self._configs[index]
        kind = config.get('type') if isinstance(config, dict) else type(config)
        if isinstance(kind, str):
            with DefaultScope.overwrite_default_scope(self._scope):
                kind = self._registry.get(kind)
        return kind if isinstance(kind, type) else object

    def step(self, index: int) -> Callable[[dict], dict | None]:
        """Return a step, ready to be called."""
        if index not in self._built:
            config = self._configs[index]
            with DefaultScope.overwrite_default_scope(self._scope):
                built = self._registry.build(config) if isinstance(config, dict) else config
            self._built[index] = built
        return self._built[index]

    def run(self, index: int, results: dict) -> dict:
        """Run one step.

        Raises:
            ValueError: it returns nothing.
        """
        after = self.step(index)(results)
        if after is None:
            raise ValueError(f'{self.key}.{index}: expected a sample, got None')
        return after

    def until(self, info: dict, name: str, usual: str) -> dict:
        """Run the steps on a copy of ``info`` until one has added ``name``.

        Args:
            info: what the dataset knows about a sample.
            name: key of the results, such as ``'img'``.
            usual: the step that usually adds it, for errors.

        Raises:
            ValueError: no step adds it.
        """
        results = copy.deepcopy(info)
        for index in range(len(self)):
            results = self.run(index, results)
            if name in results:
                return results
        raise ValueError(
            f'{self.key}: expected a {usual} step, or another that adds {name}, got none. Add it'
        )
