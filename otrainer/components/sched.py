"""Scheduler factories: what changes the learning rate, and when it steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.optim import build_torch, checked_key
from otrainer.engine.schedule import check_rhythm
from otrainer.errors import ConfigError
from otrainer.protocols import SchedulerBundle as SchedulerBundle
from otrainer.registry import Registry, validate_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        """Return the scheduler and its rhythm; raises ConfigError for an unknown class or wrong arguments."""
        entry = registry.get_module(self.type)
        validate_kwargs(
            entry.target, kwargs=self.kwargs, policy=entry.signature_policy, config_path=("scheduler", "kwargs"), skip=1
        )
        self._check_interval(entry.target)
        scheduler = build_torch(entry.target, optimizer, self.args, self.kwargs, "scheduler")
        return SchedulerBundle(scheduler, self.interval, self.frequency, self.monitor)

    def _check_interval(self, cls: Any) -> None:
        """Raise ConfigError unless the scheduler gets a value exactly where it wants one."""
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
