"""Schedules that are products: of several schedulers at once, and of a function that a plugin registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.sched import SchedulerBundle
from otrainer.components.sched_phases import build_part, flaws
from otrainer.engine.schedule import check_on_resume, check_rhythm
from otrainer.errors import ConfigError, ConfigPath
from otrainer.protocols import AUTO

if TYPE_CHECKING:
    from otrainer.protocols import RunLength
    from otrainer.registry import Registry

KEYS = ("type", "kwargs")
SCHEDULERS: ConfigPath = ("scheduler", "schedulers")
FUNCTION: ConfigPath = ("scheduler", "function")
OP = "op:"


class ChainedFactory:
    """Build torch's ChainedScheduler of `schedulers`, each a mapping with `type` (a `sched_cls.*` key) and `kwargs`.

    All step together, each on the rate that the one before left. `auto` in place of a length among the `kwargs` is how
    often they have their turn in the whole run.
    Turns are steps or epochs, as `interval` says (`step` or `epoch`), each or every `frequency`-th of them.
    A resume under another schedule is refused; where `on_resume` is `recompute`, it goes on with what that has there.
    Raises ConfigError for what is no scheduler, at its place.
    """

    def __init__(
        self,
        schedulers: Sequence[Mapping[str, Any]],
        interval: str = "step",
        frequency: int = 1,
        on_resume: str = "refuse",
    ) -> None:
        check_rhythm(interval, frequency, None)
        check_on_resume(on_resume)
        if not isinstance(schedulers, list | tuple) or not schedulers:
            message = "`schedulers` lists schedulers, each `{type: sched_cls.*, kwargs: {...}}`."
            raise ConfigError(message, title="no schedulers", config_path=SCHEDULERS, hint="List one or more.")
        found = [each for at, one in enumerate(schedulers) for each in flaws(one, (*SCHEDULERS, at), KEYS)]
        if found:
            raise ConfigError.of(found)
        self.schedulers, self.interval, self.frequency, self.on_resume = schedulers, interval, frequency, on_resume
        self.needs_length = any(AUTO in (each.get("kwargs") or {}).values() for each in schedulers)

    def build(
        self, optimizer: torch.optim.Optimizer, *, registry: Registry, length: RunLength | None = None
    ) -> SchedulerBundle:
        """Return the schedulers as one.

        Raises ConfigError for an unknown class, wrong arguments, and for `auto` where the length is not known.
        """
        turns = None if length is None else length.turns(self.interval, self.frequency)
        parts = [
            build_part(each, (*SCHEDULERS, at), optimizer, registry, turns) for at, each in enumerate(self.schedulers)
        ]
        scheduler = torch.optim.lr_scheduler.ChainedScheduler(parts, optimizer)
        return SchedulerBundle(scheduler, self.interval, self.frequency, None, self.on_resume)


class FunctionFactory:
    """Build torch's LambdaLR of `function`, `op:NAME` as a plugin registers it: what the rate is multiplied by.

    It is called with the number of turns so far, from 0; with `takes_length` also with that of the whole run, as
    `length`.
    Turns are steps or epochs, as `interval` says (`step` or `epoch`), each or every `frequency`-th of them.
    A resume under another schedule is refused; where `on_resume` is `recompute`, it goes on with what that has there.
    """

    def __init__(
        self,
        function: str,
        interval: str = "step",
        frequency: int = 1,
        takes_length: bool = False,
        on_resume: str = "refuse",
    ) -> None:
        check_rhythm(interval, frequency, None)
        check_on_resume(on_resume)
        if not isinstance(function, str) or not function.startswith(OP):
            hint = 'Register it by `registry.register_op("my_curve", my_curve)`, and write `function: op:my_curve`.'
            message = f"`function` is `op:NAME`, not {function!r}."
            raise ConfigError(message, title="no function", config_path=FUNCTION, hint=hint)
        self.function, self.interval, self.frequency, self.on_resume = function, interval, frequency, on_resume
        self.needs_length = takes_length

    def build(
        self, optimizer: torch.optim.Optimizer, *, registry: Registry, length: RunLength | None = None
    ) -> SchedulerBundle:
        """Return the scheduler. Raises ConfigError for an unknown op, and for a length that is not known."""
        try:
            function: Callable[..., float] = registry.get_op(self.function.removeprefix(OP))
        except ConfigError as error:
            raise error.under(FUNCTION) from error.__cause__
        turns = None if length is None else length.turns(self.interval, self.frequency)
        if self.needs_length and turns is None:
            message = "`takes_length` asks for the length of the whole run, which is not known."
            hint = "Set `trainer.max_steps`, or `trainer.train_batches` for data without an end."
            path = ("scheduler", "takes_length")
            raise ConfigError(message, title="length is not known", config_path=path, hint=hint)
        curve = (lambda turn: function(turn, length=turns)) if self.needs_length else function
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, curve)
        return SchedulerBundle(scheduler, self.interval, self.frequency, None, self.on_resume)
