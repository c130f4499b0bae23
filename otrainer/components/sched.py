"""Scheduler factories: what changes the learning rate, and when it steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.torch_classes import build_torch, checked_class, checked_key
from otrainer.engine.schedule import check_on_resume, check_rhythm
from otrainer.errors import ConfigError, ConfigPath
from otrainer.protocols import AUTO, LENGTHS
from otrainer.protocols import SchedulerBundle as SchedulerBundle

if TYPE_CHECKING:
    from otrainer.protocols import RunLength
    from otrainer.registry import Registry

# What makes the length of a run known.
KNOWN_BY = "Set `trainer.max_steps`, or `trainer.train_batches` for data without an end"
# What steps by steps where nothing else is said, as torch's documents call it.
BY_STEP = ("OneCycleLR", "CyclicLR")


class TorchSchedulerFactory:
    """Build `type` (a `sched_cls.*` key) on the optimizer, to step by `interval`.

    `kwargs` are arguments of the class by name, `args` those by position behind the optimizer. It has its turn at every
    `frequency`-th step, epoch or validation; by metric, `monitor` is the name of the value that it looks at.
    Without an `interval` it is the one that fits the class: `step` for OneCycleLR and CyclicLR, `metric` for
    ReduceLROnPlateau, `epoch` for all others. `auto` in place of a length among the `kwargs` (`total_steps`, `T_max`,
    `total_iters`, `T_0`) is as often as the scheduler has its turn in the whole run, accumulation counted.
    A resume under another schedule is refused; where `on_resume` is `recompute` instead of `refuse`, it goes on with
    what that one has there.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 - the config's key
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        interval: str | None = None,
        frequency: int = 1,
        monitor: str | None = None,
        on_resume: str = "refuse",
    ) -> None:
        self.type = checked_key(type, "sched_cls.", "scheduler")
        check_rhythm(interval or "epoch", frequency, monitor)
        check_on_resume(on_resume)
        self.args = list(args or ())
        self.kwargs = dict(kwargs or {})
        self.interval, self.frequency, self.monitor = interval, frequency, monitor
        self.on_resume = on_resume
        self.needs_length = AUTO in self.kwargs.values()

    def build(
        self, optimizer: torch.optim.Optimizer, *, registry: Registry, length: RunLength | None = None
    ) -> SchedulerBundle:
        """Return the scheduler and its rhythm.

        Raises ConfigError for an unknown class or wrong arguments, for `auto` where the length is not known, and where
        the class would undo that groups have rates of their own, as OneCycleLR does.
        """
        cls = checked_class(registry, self.type, self.kwargs, "scheduler")
        interval = self.interval or fitting_interval(cls)
        check_rhythm(interval, self.frequency, self.monitor)
        self._check_interval(cls, interval)
        turns = None if length is None else length.turns(interval, self.frequency)
        kwargs = with_length(self.kwargs, turns, ("scheduler", "kwargs"))
        scheduler = built_on(optimizer, cls, self.type, self.args, kwargs)
        return SchedulerBundle(scheduler, interval, self.frequency, self.monitor, self.on_resume)

    def _check_interval(self, cls: Any, interval: str) -> None:
        """Raise ConfigError unless the scheduler gets a value exactly where it wants one."""
        wants = wants_value(cls) if isinstance(cls, type) else None
        if wants is None or wants == (interval == "metric"):
            return
        raise ConfigError(
            f"`{self.type}` steps by a metric, and the interval is `{interval}`."
            if wants
            else f"`{self.type}` does not step by a metric, and the interval is `metric`.",
            title="interval does not fit the scheduler",
            config_path=("scheduler", "interval"),
            hint="Set `interval: metric` and `monitor: val_loss`." if wants else "Set `interval: epoch` or `step`.",
        )


def built_on(optimizer: torch.optim.Optimizer, cls: Any, key: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return a scheduler of a class; raise ConfigError for wrong arguments, and where it levels the groups' rates."""
    rates = {float(group["lr"]) for group in optimizer.param_groups}
    scheduler: Any = build_torch(cls, optimizer, args, kwargs, "scheduler")
    left = {float(group["lr"]) for group in optimizer.param_groups}
    if len(rates) > 1 and len(left) == 1 and left != {0.0}:
        raise levelled(key)
    return scheduler


def levelled(key: str) -> ConfigError:
    """Return what is wrong where a scheduler, as it begins, gives groups one rate that have rates of their own."""
    return ConfigError(
        f"`{key}` gives all groups of the optimizer one learning rate, and theirs differ.",
        title="given twice",
        config_path=("scheduler", "type"),
        hint="Give it a list with a rate for each group, or take a schedule that scales the rate of each, such as "
        "`sched_cls.CosineAnnealingLR`; `sched_factory.phases` lays a warm-up before it.",
    )


def fitting_interval(cls: Any) -> str:
    """Return by what a scheduler steps where nobody says it."""
    if wants_value(cls):
        return "metric"
    return "step" if any(base.__name__ in BY_STEP for base in getattr(cls, "__mro__", ())) else "epoch"


def wants_value(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, torch.optim.lr_scheduler.ReduceLROnPlateau)


def with_length(kwargs: Mapping[str, Any], turns: int | None, path: ConfigPath) -> dict[str, Any]:
    """Return arguments with a number in place of `auto`. Raises ConfigError where it is not known, at its place."""
    for name, value in kwargs.items():
        if value == AUTO and name in LENGTHS and not turns:
            message = f"`{name}: {AUTO}` is how often the scheduler has its turn in the whole run, which is not known."
            hint = (
                f"Set `trainer.max_steps`, or `trainer.train_batches` for data without an end, or write `{name}` out."
            )
            raise ConfigError(message, title="length is not known", config_path=(*path, name), hint=hint)
    return {name: turns if value == AUTO and name in LENGTHS else value for name, value in kwargs.items()}
