"""Metrics: any class of torchmetrics, fed by path, with an instance of its own for each stage."""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.io import checked_path, pick_one
from otrainer.components.metric_state import counts_of, restore_state, state_of
from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, MAPPING, Each
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
    Wrappers and `MetricCollection` take the metrics in them as arguments.
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
        # Metrics among the arguments accumulate too, so each stage has its own.
        given = [copy.deepcopy((args or (), kwargs or {})) for _ in STAGES]
        self._metrics = {stage: cls(*args, **kwargs) for stage, (args, kwargs) in zip(STAGES, given, strict=True)}
        self._updates = dict.fromkeys(STAGES, 0)  # wrappers do not count theirs
        self._devices: dict[str, torch.device | None] = dict.fromkeys(STAGES)
        self._built = {stage: counts_of(metric) for stage, metric in self._metrics.items()}

    def update(self, *, outputs: Any, targets: Any, batch: Any = None, stage: str) -> None:
        prediction = pick_one(outputs, self.pred_path, "outputs", ("pred_path",))
        target = pick_one(targets, self.target_path, "targets", ("target_path",))
        metric = self._metrics[stage]
        if isinstance(prediction, torch.Tensor) and self._devices[stage] != prediction.device:
            metric.to(prediction.device)
            self._devices[stage] = prediction.device
        metric.update(prediction, target)
        self._updates[stage] += 1

    def compute(self) -> dict[str, Any]:
        """Return the values of each stage that was updated since the last reset."""
        values: dict[str, Any] = {}
        for stage, metric in self._metrics.items():
            if self._updates[stage]:
                values.update(flat(f"{stage}_{self.name}", metric.compute()))
        return values

    def reset(self) -> None:
        for stage, metric in self._metrics.items():
            metric.reset()
            self._updates[stage] = 0

    def state_dict(self) -> dict[str, Any]:
        """Return each stage's accumulated values and how often it was updated, with those of the metrics in it."""
        return {
            stage: {"updates": self._updates[stage], "metrics": state_of(metric, self._built[stage])}
            for stage, metric in self._metrics.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        refuse_misfits(state, Each({"updates": COUNT, "metrics?": Each({"updates": COUNT, "values": MAPPING})}))
        for stage, metric in self._metrics.items():
            saved = state[stage]
            restore_state(metric, saved.get("metrics", {"": saved}))  # older checkpoints hold the outermost alone
            self._updates[stage] = saved["updates"]
            self._devices[stage] = None


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
    known = (module.Metric, module.MetricCollection)
    if isinstance(found, type) and issubclass(found, known):
        return found
    classes = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, known)]
    message, near = f"torchmetrics has no metric `{name}`.", nearest(name, classes)
    hint = "Write the name of a class of torchmetrics, such as `MeanSquaredError`."
    raise ConfigError(message, title="unknown metric", config_path=("metric",), suggestions=near, hint=hint)


def snake_case(name: str) -> str:
    """`MeanAbsoluteError` as `mean_absolute_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def flat(name: str, value: Any) -> dict[str, Any]:
    """Return a metric's result as named numbers: a scalar under its name, others with their key or index behind it."""
    if isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0:
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: value.item() if hasattr(value, "item") else value}
    found: dict[str, Any] = {}
    for part, item in value.items():
        key = joined(name, str(part))
        found |= flat(key if key not in found else f"{name}_{part}", item)
    return found


def joined(name: str, part: str) -> str:
    """Return `name_part`, with one underscore between them whatever they have themselves."""
    return f"{name.rstrip('_')}_{part.lstrip('_') or part}"
