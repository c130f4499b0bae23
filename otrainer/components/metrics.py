"""Metrics: any class of torchmetrics, fed by path, with an instance of its own for each stage."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.io import checked_path, pick_one
from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torchmetrics

    from otrainer.engine.tree import Path

STAGES = ("train", "val")


class TorchMetric:
    """The torchmetrics class `metric` (a name such as `Accuracy` or `classification.MulticlassF1Score`).

    Built with `args` and `kwargs` once for training and once for validation; updated with the tensors at `pred_path`
    in the outputs and `target_path` in the targets (or the only ones); logged as `train_<name>` and `val_<name>`, where
    `name` defaults to the class's in snake case. A result with several values logs each under its key or index.
    """

    def __init__(
        self,
        metric: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        pred_path: Path | None = None,
        target_path: Path | None = None,
        name: str | None = None,
    ) -> None:
        cls = find_metric(metric)
        self.name = name or snake_case(cls.__name__)
        self.pred_path = None if pred_path is None else checked_path(pred_path, "pred_path")
        self.target_path = None if target_path is None else checked_path(target_path, "target_path")
        self._metrics = {stage: cls(*(args or ()), **(kwargs or {})) for stage in STAGES}

    def update(self, *, outputs: Any, targets: Any, batch: Any = None, stage: str) -> None:
        prediction = pick_one(outputs, self.pred_path, "outputs", ("pred_path",))
        target = pick_one(targets, self.target_path, "targets", ("target_path",))
        metric = self._metrics[stage]
        if isinstance(prediction, torch.Tensor) and metric.device != prediction.device:
            metric.to(prediction.device)
        metric.update(prediction, target)

    def compute(self) -> dict[str, float]:
        """Return the values of each stage that was updated since the last reset."""
        values: dict[str, float] = {}
        for stage, metric in self._metrics.items():
            if metric.update_called:
                values.update(flat(f"{stage}_{self.name}", metric.compute()))
        return values

    def reset(self) -> None:
        for metric in self._metrics.values():
            metric.reset()

    def state_dict(self) -> dict[str, Any]:
        """Return each stage's accumulated values and how often it was updated."""
        return {
            stage: {"updates": metric.update_count, "values": dict(metric.metric_state)}
            for stage, metric in self._metrics.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for stage, metric in self._metrics.items():
            metric.reset()
            metric._update_count = state[stage]["updates"]  # what `update_called` and `compute` look at
            for name, value in state[stage]["values"].items():
                setattr(metric, name, value)


def find_metric(name: str) -> type[torchmetrics.Metric]:
    """Return the torchmetrics class called `name`; raises ConfigError with the nearest ones where there is none."""
    try:
        module = importlib.import_module("torchmetrics")
    except ImportError as cause:
        message = "`metric.torchmetrics` needs the package torchmetrics, which is not installed."
        hint = "Run `pip install 'otrainer[metrics]'`."
        raise ConfigError(message, title="torchmetrics is not installed", hint=hint) from cause
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, module.Metric):
        return found
    classes = [
        key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, module.Metric)
    ]
    message, near = f"torchmetrics has no metric `{name}`.", nearest(name, classes)
    hint = "Write the name of a class of torchmetrics, such as `MeanSquaredError`."
    raise ConfigError(message, title="unknown metric", config_path=("metric",), suggestions=near, hint=hint)


def snake_case(name: str) -> str:
    """`MeanAbsoluteError` as `mean_absolute_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def flat(name: str, value: Any) -> dict[str, float]:
    """Return a metric's result as named floats: a scalar under its name, others with their key or index behind it."""
    if isinstance(value, list | tuple) or (isinstance(value, torch.Tensor) and value.dim() > 0):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: float(value)}
    return {key: number for part, item in value.items() for key, number in flat(f"{name}_{part}", item).items()}
