"""Scheduler factories: what changes the learning rate, and when it steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.optim import build_torch, checked_class, checked_key
from otrainer.engine.schedule import check_on_resume, check_rhythm
from otrainer.errors import ConfigError
from otrainer.protocols import SchedulerBundle as SchedulerBundle

if TYPE_CHECKING:
    from otrainer.registry import Registry


class TorchSchedulerFactory:
    """Build `type` (a `sched_cls.*` key) on the optimizer, to step by `interval`.

    A resume under another schedule is refused; with `on_resume: recompute` it goes on with what that one has there.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 - the config's key
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        interval: str = "epoch",
        frequency: int = 1,
        monitor: str | None = None,
        on_resume: str = "refuse",
    ) -> None:
        self.type = checked_key(type, "sched_cls.", "scheduler")
        check_rhythm(interval, frequency, monitor)
        check_on_resume(on_resume)
        self.args = list(args or ())
        self.kwargs = dict(kwargs or {})
        self.interval, self.frequency, self.monitor = interval, frequency, monitor
        self.on_resume = on_resume

    def build(self, optimizer: torch.optim.Optimizer, *, registry: Registry) -> SchedulerBundle:
        """Return the scheduler and its rhythm; raises ConfigError for an unknown class or wrong arguments."""
        cls = checked_class(registry, self.type, self.kwargs, "scheduler")
        self._check_interval(cls)
        scheduler = build_torch(cls, optimizer, self.args, self.kwargs, "scheduler")
        return SchedulerBundle(scheduler, self.interval, self.frequency, self.monitor, self.on_resume)

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
