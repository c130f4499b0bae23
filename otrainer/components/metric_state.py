"""The state of a torchmetrics metric as plain data, with that of the metrics that wrappers and collections hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

COUNTED = (bool, int, float, str)  # beside its states: `Running` counts how many values it has seen
APART = ("_update_count", "_computed")


def metrics_in(metric: Any) -> Iterator[tuple[str, Any]]:
    """Yield the metric itself, unless it is only a collection, and each within it, by the path that leads there."""
    import torchmetrics

    if isinstance(metric, torchmetrics.MetricCollection):
        list(metric.values(copy_state=False))  # those of one group get the state of the one that is updated for all
    for path, module in metric.named_modules():
        if isinstance(module, torchmetrics.Metric):
            yield path, module


def counts_of(metric: Any) -> dict[str, dict[str, Any]]:
    """Return the plain attributes of each metric, to tell later which of them changed."""
    return {path: counted(each) for path, each in metrics_in(metric)}


def counted(metric: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(metric).items() if type(value) in COUNTED and name not in APART}


def state_of(metric: Any, built: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the accumulated values of each metric, its number of updates, and the attributes that `built` has not."""
    found: dict[str, Any] = {}
    for path, each in metrics_in(metric):
        changed = {name: value for name, value in counted(each).items() if built[path].get(name) != value}
        row = {"updates": each.update_count, "values": dict(each.metric_state)}
        found[path] = row | ({"counted": changed} if changed else {})
    return found


def restore_state(metric: Any, state: Mapping[str, Any]) -> None:
    """Set what `state_of` returned; a metric that it does not know begins anew."""
    metric.reset()
    for path, each in metrics_in(metric):
        row = state.get(path)
        if row is not None:
            each._update_count = row["updates"]  # what `update_called` and `compute` look at
            for name, value in (row["values"] | row.get("counted", {})).items():
                setattr(each, name, value)
