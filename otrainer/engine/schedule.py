"""When a scheduler steps: by optimizer steps, epochs, or validations."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeGuard

from otrainer.engine.factories import check_bundle
from otrainer.errors import ConfigError, is_whole, nearest

if TYPE_CHECKING:
    from otrainer.protocols import RunLength, SchedulerBundle

ON_RESUME = ("refuse", "recompute")
# What may stand in place of a length of torch's schedulers, and the arguments that are one.
AUTO = "auto"
LENGTHS = ("total_steps", "T_max", "total_iters", "T_0")
INTERVALS = ("step", "epoch", "metric")


def build_schedule(
    factory: Any, optimizer: Any, registry: Any, length: RunLength | None = None
) -> SchedulerBundle | None:
    """Return what a scheduler factory builds, if there is one; one that takes the `length` of the run gets it.

    Raises ConfigError where that is no scheduler with its rhythm, and for a rhythm that there is not.
    """
    if factory is None:
        return None
    more = {"length": length} if takes_length(factory) else {}
    bundle: SchedulerBundle = factory.build(optimizer, registry=registry, **more)
    check_bundle(bundle, factory)
    check_rhythm(bundle.interval, bundle.frequency, bundle.monitor)
    check_on_resume(bundle.on_resume)
    return bundle


def takes_length(factory: Any) -> bool:
    """Return whether a factory's `build` has a parameter `length`."""
    try:
        return "length" in inspect.signature(factory.build).parameters
    except (TypeError, ValueError):  # it cannot be read
        return False


def is_due(bundle: SchedulerBundle | None, interval: str, count: int) -> TypeGuard[SchedulerBundle]:
    """Return whether the scheduler, if there is one, steps by `interval` and `count` is one of its turns."""
    return bundle is not None and bundle.interval == interval and count % bundle.frequency == 0


def check_on_resume(choice: str) -> None:
    """Raise ConfigError unless this says what a resume under another schedule does."""
    if choice not in ON_RESUME:
        raise ConfigError(
            f"A scheduler's `on_resume` is refuse or recompute, not `{choice}`.",
            title="unknown choice",
            config_path=("scheduler", "on_resume"),
            suggestions=nearest(str(choice), ON_RESUME),
            hint="Write `on_resume: recompute` to go on with what the new schedule gives where the run stands.",
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
        message = f"A scheduler's frequency is a whole number from 1 on, not `{frequency}`."
        hint = "Write `frequency: 1` to step each time."
        raise ConfigError(message, title="frequency out of range", config_path=("scheduler", "frequency"), hint=hint)
    if interval == "metric" and not monitor:
        message = "`interval: metric` needs `monitor`, the name of a logged validation value."
        hint = "Add `monitor: val_loss`."
        raise ConfigError(message, title="`monitor` is needed", config_path=("scheduler",), hint=hint)
