"""Metrics of each of several validation sets, beside those of all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otrainer.engine.arrays import Array
from otrainer.engine.metrics import add_value, copies, named_values, number_of

if TYPE_CHECKING:
    from otrainer.engine.logs import Number


class SetMetrics:
    """A run's metrics for one validation set: the same ones, on copies of what they held before it."""

    def __init__(self, metrics: Sequence[Any]) -> None:
        self._metrics = {
            index: metric
            for index, metric in enumerate(metrics)
            if hasattr(metric, "compute") and hasattr(metric, "__dict__")
        }
        self._held: dict[int, dict[str, Any]] = {}
        for index, metric in self._metrics.items():
            copied, same = copies(vars(metric))
            self._held[index] = copied | same

    def update(self, index: int, **seen: Any) -> None:
        """Let the metric with this number see a batch of the set."""
        if index in self._metrics:
            with self._in_place(index) as metric:
                metric.update(**seen)

    def values(self, name: str) -> tuple[dict[str, Number], dict[str, Array]]:
        """Return what validation logs of the set called `name`, each as `VALUE/name`: numbers, and arrays."""
        row: dict[str, Number] = {}
        arrays: dict[str, Array] = {}
        for index in self._metrics:
            with self._in_place(index) as metric:
                values = named_values(metric)
            for of, value in values:
                if isinstance(value, Array):
                    arrays[in_set(of, name)] = value
                elif not of.startswith("train"):
                    add_value(row, in_set(of, name), number_of(in_set(of, name), value, index), ("metrics", index))
        return row, arrays

    @contextmanager
    def _in_place(self, index: int) -> Iterator[Any]:
        """Let a metric hold in the block what it holds for the set."""
        metric = self._metrics[index]
        own = dict(vars(metric))
        put_in(metric, self._held[index])
        try:
            yield metric
        finally:
            self._held[index] = dict(vars(metric))
            put_in(metric, own)


def put_in(metric: Any, attributes: dict[str, Any]) -> None:
    vars(metric).clear()
    vars(metric).update(attributes)


def in_set(value: str, name: str) -> str:
    """Return under which name a value of one validation set is logged."""
    return f"{value}/{name}"
