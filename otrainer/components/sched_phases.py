"""sched_factory.phases: a schedule of several, one after the other: a warm-up, then a cosine, say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.sched import KNOWN_BY, SchedulerBundle, built_on, wants_value, with_length
from otrainer.components.torch_classes import checked_class, checked_key
from otrainer.engine.schedule import check_on_resume, check_rhythm
from otrainer.errors import ConfigError, ConfigPath, Finding, is_whole, nearest
from otrainer.protocols import AUTO

if TYPE_CHECKING:
    from otrainer.protocols import RunLength
    from otrainer.registry import Registry

KEYS = ("type", "kwargs", "length")
SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%", re.ASCII)
PHASES: ConfigPath = ("scheduler", "phases")


class PhasesFactory:
    """Build torch's SequentialLR of `phases`, each a mapping with `type` (a `sched_cls.*` key), `kwargs` and `length`.

    A `length` is a number of the scheduler's turns (steps, with `interval: step`), or a share of the whole run such as
    `5%`, rounded down, but at least one; the last phase has none, and takes the rest. `auto` in place of a length among
    the `kwargs` of a phase is the length of that phase.
    Turns are steps or epochs, as `interval` says (`step` or `epoch`), each or every `frequency`-th of them.
    A resume under another schedule is refused; where `on_resume` is `recompute`, it goes on with what that has there.
    Raises ConfigError for what is no phase, at its place.
    """

    def __init__(
        self, phases: Sequence[Mapping[str, Any]], interval: str = "step", frequency: int = 1, on_resume: str = "refuse"
    ) -> None:
        check_rhythm(interval, frequency, None)
        check_on_resume(on_resume)
        check_phases(phases)
        self.phases, self.interval, self.frequency, self.on_resume = list(phases), interval, frequency, on_resume
        lengths = [phase.get("length") for phase in phases]
        autos = [AUTO in (phase.get("kwargs") or {}).values() for phase in phases]
        self.needs_length = autos[-1] or any(isinstance(length, str) for length in lengths)

    def build(
        self, optimizer: torch.optim.Optimizer, *, registry: Registry, length: RunLength | None = None
    ) -> SchedulerBundle:
        """Return the schedulers in sequence.

        Raises ConfigError for an unknown class, wrong arguments, phases that are longer than the run, and for a share
        or `auto` where the length of the run is not known.
        """
        turns = None if length is None else length.turns(self.interval, self.frequency)
        lengths = lengths_of(self.phases, turns)
        schedulers = [self._scheduler(index, optimizer, registry, lengths[index]) for index in range(len(self.phases))]
        milestones = [*accumulate(length for length in lengths[:-1] if length is not None)]
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers, milestones)
        return SchedulerBundle(scheduler, self.interval, self.frequency, None, self.on_resume)

    def _scheduler(self, index: int, optimizer: torch.optim.Optimizer, registry: Registry, turns: int | None) -> Any:
        return build_part(self.phases[index], (*PHASES, index), optimizer, registry, turns)


def build_part(
    part: Mapping[str, Any], at: ConfigPath, optimizer: torch.optim.Optimizer, registry: Registry, turns: int | None
) -> Any:
    """Return the scheduler of one of several; raise ConfigError for what is wrong with it, at its place."""
    kwargs = dict(part.get("kwargs") or {})
    try:
        cls = checked_class(registry, part["type"], kwargs, "scheduler")
        refuse_by_value(cls, part["type"])
        made = built_on(optimizer, cls, part["type"], (), with_length(kwargs, turns, (*at, "kwargs")))
    except ConfigError as error:
        raise moved(error, at) from error.__cause__
    return made


def refuse_by_value(cls: Any, key: str) -> None:
    if wants_value(cls):
        message = f"`{key}` steps by a metric, and phases go by steps or epochs."
        hint = "Let it stand alone, by `sched_factory.torch`."
        raise ConfigError(message, title="interval does not fit the scheduler", hint=hint)


def moved(error: ConfigError, inside: ConfigPath) -> ConfigError:
    """Return what is wrong with one of several schedulers, at its place in that."""

    def place(path: ConfigPath) -> ConfigPath:
        return path if path[: len(inside)] == inside else (*inside, *(path[1:] or ("type",)))

    return ConfigError.of([replace(each, config_path=place(each.config_path)) for each in error.findings])


def lengths_of(phases: Sequence[Mapping[str, Any]], turns: int | None) -> list[int | None]:
    """Return how many turns each phase has, None for the last one where the length of the run is not known."""
    found: list[int | None] = []
    for index, phase in enumerate(phases[:-1]):
        share = SHARE.fullmatch(phase["length"]) if isinstance(phase["length"], str) else None
        if share and turns is None:
            message = f"`length: {phase['length']}` is a share of the whole run, whose length is not known."
            hint = f"{KNOWN_BY}, or write a number."
            raise ConfigError(message, title="length is not known", config_path=(*PHASES, index, "length"), hint=hint)
        found.append(max(1, int(float(share[1]) * (turns or 0) / 100)) if share else phase["length"])
    done = sum(length or 0 for length in found)
    if turns is not None and done >= turns:
        message = f"The phases before the last one take {done:,} turns, and the whole run has {turns:,}."
        hint = "Let them be shorter, or the run longer."
        raise ConfigError(message, title="phases are too long", config_path=PHASES, hint=hint)
    return [*found, None if turns is None else turns - done]


def check_phases(phases: Any) -> None:
    """Raise ConfigError for what is no list of phases, with all that is wrong with them at once."""
    if not isinstance(phases, list | tuple) or not phases:
        message = "`phases` lists schedulers, each `{type: sched_cls.*, kwargs: {...}, length: 500}`."
        raise ConfigError(message, title="no phases", config_path=PHASES, hint="List one or more.")
    findings = [
        finding
        for index, phase in enumerate(phases)
        for finding in flaws(phase, (*PHASES, index), KEYS, is_last=index == len(phases) - 1)
    ]
    if findings:
        raise ConfigError.of(findings)


def flaws(phase: Any, path: ConfigPath, keys: Sequence[str], *, is_last: bool = True) -> Iterator[Finding]:
    """Yield what is wrong with one of several schedulers, which may have these keys."""
    if not isinstance(phase, Mapping):
        hint = f"Write `{{type: sched_cls.LinearLR, kwargs: {{...}}{', length: 500' if 'length' in keys else ''}}}`."
        yield Finding(f"A phase is a mapping, not {phase!r}.", "no phase", path, hint=hint)
        return
    for key in phase:
        if key not in keys:
            message, near = f"A phase has no `{key}`.", nearest(str(key), keys)
            yield Finding(message, "unknown key", (*path, key), on_key=True, suggestions=near)
    try:
        checked_key(phase.get("type", ""), "sched_cls.", "scheduler")
    except ConfigError as error:
        yield from (replace(each, config_path=(*path, "type")) for each in error.findings)
    if "length" in keys:
        yield from flaws_of_length(phase.get("length"), (*path, "length"), is_last=is_last)


def flaws_of_length(length: Any, path: ConfigPath, *, is_last: bool) -> Iterator[Finding]:
    if is_last and length is not None:
        hint = "Leave it out: the last phase takes what is left of the run."
        yield Finding("The last phase has a `length`.", "length of the last phase", path, hint=hint)
    elif not is_last and not (is_whole(length) or (isinstance(length, str) and SHARE.fullmatch(length))):
        message = f"A phase has a `length`, a number from 1 on or a share such as `5%`, not {length!r}."
        yield Finding(message, "length of a phase", path, hint="Write `length: 500` or `length: 5%`.")
