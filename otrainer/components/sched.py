"""Scheduler factories: what changes the learning rate, and when it steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.optim import build_torch, checked_key
from otrainer.errors import ConfigError, is_whole, nearest
from otrainer.registry import Registry, validate_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVALS = ("step", "epoch", "metric")


@dataclass
class SchedulerBundle:
    """A scheduler and its rhythm: every `frequency` optimizer steps or epochs, or by the value called `monitor`.

    Raises ConfigError for another interval, a frequency below 1, or `metric` without a monitor.
    """

    scheduler: Any
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None

    def __post_init__(self) -> None:
        check_rhythm(self.interval, self.frequency, self.monitor)


class TorchSchedulerFactory:
    """Build `type` (a `sched_cls.*` key) on the optimizer, to step by `interval`."""

    def __init__(
        self,
        type: str,  # noqa: A002 - the config's key
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        interval: str = "epoch",
        frequency: int = 1,
        monitor: str | None = None,
    ) -> None:
        self.type = checked_key(type, "sched_cls.", "scheduler")
        check_rhythm(interval, frequency, monitor)
        self.args = list(args or ())
        self.kwargs = dict(kwargs or {})
        self.interval, self.frequency, self.monitor = interval, frequency, monitor

    def build(self, optimizer: torch.optim.Optimizer, *, registry: Registry) -> SchedulerBundle:
        """The scheduler and its rhythm. Raises ConfigError for an unknown class or arguments that it does not take."""
        entry = registry.get_module(self.type)
        validate_kwargs(
            entry.target, kwargs=self.kwargs, policy=entry.signature_policy, config_path=("scheduler", "kwargs"), skip=1
        )
        self._check_interval(entry.target)
        scheduler = build_torch(entry.target, optimizer, self.args, self.kwargs, "scheduler")
        return SchedulerBundle(scheduler, self.interval, self.frequency, self.monitor)

    def _check_interval(self, cls: Any) -> None:
        """A scheduler that wants a value must be given one, and no other may be."""
        wants = issubclass(cls, torch.optim.lr_scheduler.ReduceLROnPlateau) if isinstance(cls, type) else None
        if wants is None or wants == (self.interval == "metric"):
            return
        raise ConfigError(
            f"`{self.type}` steps by a metric, and the interval is `{self.interval}`."
            if wants
            else f"`{self.type}` does not step by a metric, and the interval is `metric`.",
            title="interval does not fit the scheduler",
            config_path=("scheduler", "interval"),
            hint="Set `interval: metric` and `monitor: val_loss`." if wants else "Set `interval: epoch` or `step`.",
        )


def check_rhythm(interval: str, frequency: int, monitor: str | None) -> None:
    """Raise ConfigError unless a scheduler can step by this."""
    if interval not in INTERVALS:
        raise ConfigError(
            f"A scheduler's interval is step, epoch or metric, not `{interval}`.",
            title="unknown interval",
            config_path=("scheduler", "interval"),
            suggestions=nearest(str(interval), INTERVALS),
            hint=f"Write `interval: {INTERVALS[0]}`, for example.",
        )
    if not is_whole(frequency):
        raise ConfigError(
            f"A scheduler's frequency is a whole number from 1 on, not `{frequency}`.",
            title="frequency out of range",
            config_path=("scheduler", "frequency"),
            hint="Write `frequency: 1` to step each time.",
        )
    if interval == "metric" and not monitor:
        raise ConfigError(
            "`interval: metric` needs `monitor`, the name of a logged validation value.",
            title="`monitor` is needed",
            config_path=("scheduler",),
            hint="Add `monitor: val_loss`.",
        )
