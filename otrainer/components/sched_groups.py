"""sched_factory.by_group: schedules of their own for the groups of parameters of one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler

from otrainer.components.param_groups import UNDECAYED
from otrainer.components.sched import SchedulerBundle
from otrainer.engine.schedule import build_schedule, check_on_resume, check_rhythm
from otrainer.errors import ConfigError, ConfigPath, Finding, nearest

if TYPE_CHECKING:
    from otrainer.protocols import RunLength
    from otrainer.registry import Registry

GROUPS: ConfigPath = ("scheduler", "groups")
REST: ConfigPath = ("scheduler", "rest")


class SomeGroups(Optimizer):
    """Some of the groups of an optimizer, as far as a scheduler has to do with them."""

    def __init__(self, whole: Optimizer, picks: Callable[[str], bool]) -> None:
        self._whole, self._picks = whole, picks
        self.defaults = whole.defaults
        self._opt_called = True  # else torch warns of a step that it cannot see

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]  # the whole has new ones once it is loaded
        """Return the groups as they are now."""
        return [group for group in self._whole.param_groups if self._picks(group.get("name", ""))]

    def step(self) -> None:  # type: ignore[override]  # torch's schedulers note that it is called
        """Do nothing: the whole optimizer steps."""


class GroupSchedulers(ChainedScheduler):
    """The schedulers of groups, which step together, saved as torch saves chained ones."""

    def __init__(self, schedulers: Iterable[Any], optimizer: Optimizer) -> None:
        self._schedulers, self.optimizer = list(schedulers), optimizer
        self._last_lr = self.get_last_lr()

    def get_last_lr(self) -> list[Any]:
        """Return the learning rate of each group of the optimizer."""
        return [group["lr"] for group in self.optimizer.param_groups]


class GroupsFactory:
    """Build a scheduler for each of `groups`, by the names that groups of parameters have, and for the `rest`.

    Each is a scheduler factory, as `sched_factory.torch` or `sched_factory.phases`; all must step by the same
    interval. A group's parameters without decay and its layers go with it. Without `rest`, other rates stay.
    A resume under another schedule is refused; where `on_resume` is `recompute`, it goes on with what that has there.
    Raises ConfigError where there is no such group, and where schedules step at different times or by a metric.
    """

    needs_groups: ClassVar[bool] = True  # of the optimizer, without which it cannot be tried

    def __init__(self, groups: Mapping[str, Any], rest: Any = None, on_resume: str = "refuse") -> None:
        check_on_resume(on_resume)
        if not isinstance(groups, Mapping) or not groups:
            hint = "Write `groups: {head: {_type_: sched_factory.torch, ...}}`."
            message = "`groups` is a mapping from names of parameter groups to scheduler factories."
            raise ConfigError(message, title="no schedules of groups", config_path=GROUPS, hint=hint)
        self.factories: dict[ConfigPath, Any] = {(*GROUPS, str(name)): each for name, each in groups.items()}
        if rest is not None:
            self.factories[REST] = rest
        wrong = [path for path, each in self.factories.items() if not callable(getattr(each, "build", None))]
        if wrong:
            raise ConfigError.of([no_factory(path) for path in wrong])
        self.on_resume = on_resume
        self.needs_length = any(getattr(each, "needs_length", False) for each in self.factories.values())

    def build(self, optimizer: Optimizer, *, registry: Registry, length: RunLength | None = None) -> SchedulerBundle:
        """Return the schedulers as one. Raises ConfigError as the factories do, at their places."""
        names = [str(path[-1]) for path in self.factories if path != REST]
        check_names(names, [group.get("name", "") for group in optimizer.param_groups])
        bundles: dict[ConfigPath, SchedulerBundle] = {}
        for path, factory in self.factories.items():
            some = SomeGroups(optimizer, picker(names, None if path == REST else str(path[-1])))
            if not some.param_groups:
                raise nothing_left()
            try:
                bundle = build_schedule(factory, some, registry, length)
            except ConfigError as error:
                raise within(error, path) from error.__cause__
            if bundle is not None:
                bundles[path] = bundle
        interval, frequency = rhythm_of(bundles)
        made = GroupSchedulers((each.scheduler for each in bundles.values()), optimizer)
        return SchedulerBundle(made, interval, frequency, None, self.on_resume)


def picker(names: list[str], mine: str | None) -> Callable[[str], bool]:
    """Return whether a group of parameters goes with the group that is called `mine`, or with none of `names`."""

    def owner(name: str) -> str | None:
        return max((each for each in names if belongs(name, each)), key=len, default=None)

    return lambda name: owner(name) == mine


def belongs(name: str, to: str) -> bool:
    """Return whether a group is the one of a name, or what the optimizer made of it apart: undecayed, or a layer."""
    return name in (to, f"{to}_{UNDECAYED}") or name.startswith(f"{to}_layer")


def check_names(names: list[str], known: list[str]) -> None:
    """Raise ConfigError for each name that no group of parameters has."""
    named = [each for each in known if each]
    hint = f"It has {', '.join(f'`{each}`' for each in named)}." if named else "Give it `groups` with a `name`."
    findings = [
        Finding(
            f"The optimizer has no group `{name}`.",
            "unknown group",
            (*GROUPS, name),
            on_key=True,
            suggestions=nearest(name, named),
            hint=hint,
        )
        for name in names
        if not any(belongs(each, name) for each in known)
    ]
    if findings:
        raise ConfigError.of(findings)


def rhythm_of(bundles: Mapping[ConfigPath, SchedulerBundle]) -> tuple[str, int]:
    """Return when all step. Raises ConfigError where they differ, or one goes by a metric."""
    first, *others = bundles.items()
    for path, each in (first, *others):
        if each.interval == "metric":
            message = "A schedule of a group goes by steps or epochs, not by a metric."
            hint = "Give several optimizers, each with a scheduler of its own."
            raise ConfigError(message, title="interval does not fit the scheduler", config_path=path, hint=hint)
        if (each.interval, each.frequency) != (first[1].interval, first[1].frequency):
            message = (
                f"This schedule steps {rhythm_told(each)}, and the one of `{first[0][-1]}` {rhythm_told(first[1])}."
            )
            hint = "Give all of them the same `interval` and `frequency`."
            raise ConfigError(message, title="schedules step at different times", config_path=path, hint=hint)
    check_rhythm(first[1].interval, first[1].frequency, None)
    return first[1].interval, first[1].frequency


def rhythm_told(bundle: SchedulerBundle) -> str:
    return f"every {bundle.interval}" if bundle.frequency == 1 else f"every {bundle.frequency} {bundle.interval}s"


def no_factory(path: ConfigPath) -> Finding:
    hint = "Write `{_type_: sched_factory.torch, type: sched_cls.CosineAnnealingLR, kwargs: {T_max: auto}}`."
    return Finding("The schedule of a group is a scheduler factory.", "no scheduler factory", path, hint=hint)


def nothing_left() -> ConfigError:
    message = "Every group of parameters has a schedule of its own, so that nothing goes by `rest`."
    return ConfigError(message, title="nothing is left", config_path=REST, hint="Leave `rest` out.")


def within(error: ConfigError, path: ConfigPath) -> ConfigError:
    """Return what is wrong with one of the schedules, at its place."""
    return ConfigError.of([replace(each, config_path=(*path, *each.config_path[1:])) for each in error.findings])
