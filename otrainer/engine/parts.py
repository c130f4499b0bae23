"""The parts that a run is made of, and what is checked of them before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from otrainer.engine.optimizers import optimizer_factory
from otrainer.errors import ConfigError, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from otrainer import protocols


@dataclass(frozen=True)
class Parts:
    """What a trainer's `fit` is given beside `run`: the model, the parts that a config picks, and the registry."""

    model: torch.nn.Module
    datamodule: protocols.DataModule
    io: protocols.IO
    loss: protocols.Loss
    optimizer_factory: protocols.OptimizerFactory
    scheduler_factory: protocols.SchedulerFactory | None = None
    metrics: Sequence[protocols.Metric] = ()
    callbacks: Sequence[protocols.Callback] = ()
    loggers: Sequence[protocols.Logger] = ()
    registry: Any = None

    def __post_init__(self) -> None:
        for name in ("metrics", "callbacks", "loggers"):
            object.__setattr__(self, name, list(getattr(self, name) or ()))
        for name in ("io", "loss"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, Absent(name))
        object.__setattr__(self, "optimizer_factory", optimizer_factory(self.optimizer_factory))

    @property
    def in_context(self) -> dict[str, Any]:
        """Return the parts that callbacks see: all but the factories, in whose place is what they built."""
        return {name: part for name, part in vars(self).items() if not name.endswith("_factory")}

    @property
    def with_state(self) -> list[Any]:
        """Return the parts whose plain attributes go into a checkpoint."""
        return [*self.callbacks, *self.metrics, *self.loggers, self.loss]


class Absent:
    """Stands for a section that a trainer's own steps do without; called, it raises ConfigError."""

    def __init__(self, section: str) -> None:
        self._section = section

    def __call__(self, **_: Any) -> NoReturn:
        message = f"The config has no `{self._section}`, and a step calls it."
        hint = f"Add the section `{self._section}`, or define `training_step` and `validation_step` that need none."
        raise ConfigError(message, title="missing section", config_path=(self._section,), hint=hint)

    def split(self, _: Any, **__: Any) -> NoReturn:
        self()


def check_hooks(callbacks: Sequence[Any], loggers: Sequence[Any]) -> None:
    """Raise a ConfigError for every method that is named like a hook but is none; classes in a registry had theirs."""
    from otrainer.registry.contracts import breaches  # with it comes the registry, and configs

    findings = [
        Finding(breach.message, "unknown hook", (section, index), suggestions=breach.suggestions, hint=breach.hint)
        for section, prefix, parts in (("callbacks", "cb.", callbacks), ("loggers", "log.", loggers))
        for index, part in enumerate(parts)
        for breach in breaches(prefix, with_own_methods(part))
    ]
    if findings:
        raise ConfigError.of(findings)


def check_metric_names(metrics: Sequence[Any]) -> None:
    """Raise a ConfigError where two metrics of one class would log under one name."""
    seen: dict[tuple[type, str], int] = {}
    for index, metric in enumerate(metrics):
        name = getattr(metric, "name", None)
        if isinstance(name, str) and seen.setdefault((type(metric), name), index) != index:
            message, hint = f"Two metrics would log as `{name}`.", "Give one of them a `name` of its own."
            raise ConfigError(message, title="metrics of one name", config_path=("metrics", index), hint=hint)


def with_own_methods(part: Any) -> type:
    """Return the class of an object, or one that has what the object was given by itself."""
    own = {name: value for name, value in getattr(part, "__dict__", {}).items() if isinstance(value, FunctionType)}
    if not own:
        return type(part)
    return type(type(part).__name__, (), {name: staticmethod(value) for name, value in own.items()})
