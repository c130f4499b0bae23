"""When a scheduler steps: by optimizer steps, epochs, or validations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otrainer.engine.factories import check_bundle
from otrainer.engine.optimizer import members
from otrainer.engine.optimizers import in_section
from otrainer.errors import ConfigError, ConfigPath, is_whole, nearest

if TYPE_CHECKING:
    from otrainer.protocols import RunLength, SchedulerBundle

ON_RESUME = ("refuse", "recompute")
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


class Schedulers:
    """The schedulers of several optimizers by their names, saved as one."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.members = dict(named)
        self._schedulers = list(named.values())

    def state_dict(self) -> dict[str, Any]:
        return {name: each.state_dict() for name, each in self.members.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, each in self.members.items():
            each.load_state_dict(state[name])


class Schedule:
    """The schedulers of a run with their rhythms, by the names of their optimizers; a single one has the name ""."""

    def __init__(self, bundles: Mapping[str, SchedulerBundle]) -> None:
        self.bundles = dict(bundles)

    @property
    def scheduler(self) -> Any:
        """Return the scheduler, several as one, or None."""
        if "" in self.bundles or not self.bundles:
            return self.bundles[""].scheduler if self.bundles else None
        return Schedulers({name: each.scheduler for name, each in self.bundles.items()})

    @property
    def rhythm(self) -> Any:
        """Return as plain data when the schedulers step."""
        names = ("interval", "frequency", "monitor")
        rhythms = {name: {key: getattr(each, key) for key in names} for name, each in self.bundles.items()}
        return rhythms.get("", rhythms or None)

    @property
    def on_resume(self) -> str | None:
        """Return what a resume under another schedule does: a new one is computed where all say so."""
        choices = {each.on_resume for each in self.bundles.values()}
        return choices.pop() if len(choices) == 1 else "refuse" if choices else None

    def goes_by(self, interval: str) -> bool:
        """Return whether a scheduler steps by an interval."""
        return any(each.interval == interval for each in self.bundles.values())

    def due(self, interval: str, count: int) -> list[tuple[ConfigPath, SchedulerBundle]]:
        """Return the schedulers that step by `interval` and of whose turns `count` is one, with their places."""
        return [
            (("scheduler", name) if name else ("scheduler",), each)
            for name, each in self.bundles.items()
            if each.interval == interval and count % each.frequency == 0
        ]


def build_schedules(factory: Any, optimizer: Any, registry: Any, length: RunLength | None = None) -> Schedule:
    """Return what a scheduler factory builds, or several by the names of the optimizers, if there are any.

    Raises ConfigError as `build_schedule` does, and for a name that no optimizer has.
    """
    if not isinstance(factory, Mapping):
        bundle = build_schedule(factory, optimizer, registry, length)
        return Schedule({} if bundle is None else {"": bundle})
    bundles: dict[str, SchedulerBundle] = {}
    for name, each in factory.items():
        with in_section("scheduler", name):
            (mine,) = members(optimizer, name, ("scheduler", name)).values()
            if (bundle := build_schedule(each, mine, registry, length)) is not None:
                bundles[name] = bundle
    return Schedule(bundles)


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
