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
from otrainer.engine.arrays import Array
from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, MAPPING, Each
from otrainer.errors import ConfigError, ConfigPath, nearest

if TYPE_CHECKING:
    import torchmetrics

    from otrainer.engine.tree import Path

STAGES = ("train", "val")
MOST = 32  # values in a row that are logged as numbers


class TorchMetric:
    """The torchmetrics class `metric` (a name such as `Accuracy` or `classification.MulticlassF1Score`).

    Built with `args` and `kwargs` once for training and once for validation; updated with the tensors at `pred_path`
    in the outputs and `target_path` in the targets (or the only ones); logged as `train_<name>` and `val_<name>`, where
    `name` defaults to the class's in snake case. A result with several values logs each under its key, a row of up to
    32 under their indices; what is longer, a matrix or a curve is kept as an array. Metrics that wrappers and
    `MetricCollection` take are written as mappings of `metric`, `args` and `kwargs` among theirs.
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
        self._metrics = {stage: build(cls, args, kwargs) for stage in STAGES}
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


def build(cls: type[Any], args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> Any:
    """Return a metric, with copies of its arguments and of the metrics among them."""
    args, kwargs = copy.deepcopy((list(args or ()), dict(kwargs or {})))
    return cls(
        *(with_metrics(value, ("args", at)) for at, value in enumerate(args)),
        **{name: with_metrics(value, ("kwargs", name)) for name, value in kwargs.items()},
    )


def with_metrics(value: Any, path: ConfigPath) -> Any:
    """Return an argument with a metric in the place of each mapping that says how one is built.

    Raises ConfigError at its place for a class that torchmetrics does not have.
    """
    if isinstance(value, list | tuple):
        return [with_metrics(each, (*path, at)) for at, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("metric"), str) and value.keys() <= {"metric", "args", "kwargs"}:
        try:
            return build(find_metric(value["metric"]), value.get("args"), value.get("kwargs"))
        except ConfigError as error:
            raise error.under(path) from error.__cause__
    return {name: with_metrics(each, (*path, name)) for name, each in value.items()}


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


def flat(name: str, value: Any, *, within: bool = False) -> dict[str, Any]:
    """Return a metric's result by name: a scalar as a number, parts of others with their key or index behind it.

    Tensors that are no row of a few values are arrays, and so are all in a tuple (`within`): they are points of curves,
    whose number changes from one validation to the next.
    """
    within = within or isinstance(value, list | tuple)
    if getattr(value, "ndim", 0) > 0 and (within or value.ndim > 1 or not 0 < len(value) <= MOST):
        return {name: Array(value)}
    if isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0:
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: value.item() if hasattr(value, "item") else value}
    found: dict[str, Any] = {}
    for part, item in value.items():
        key = joined(name, str(part))
        found |= flat(key if key not in found else f"{name}_{part}", item, within=within)
    return found


def joined(name: str, part: str) -> str:
    """Return `name_part`, with one underscore between them whatever they have themselves."""
    return f"{name.rstrip('_')}_{part.lstrip('_') or part}"
