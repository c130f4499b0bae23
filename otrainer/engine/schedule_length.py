"""Compare the length of a schedule with how often the run steps it: most schedules are meant to end with the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from otrainer.errors import ConfigError

TORCH = "torch.optim.lr_scheduler"
HIGH = 0.05  # of the way from its lowest rate to its highest: a cosine that ends above it did not come to its end
IDLE = 100  # one step in so many may have a rate of 0
OTHER_UNIT = {
    ("epoch", "long"): ", or `interval: step` if it counts optimizer steps",
    ("step", "short"): ", or `interval: epoch` if it counts epochs",
}


class Oddity(NamedTuple):
    """What is odd about a schedule: what comes of it, which argument says so, and what would end with the run.

    `length` is how long it is in steps; a `fatal` one is refused by the scheduler itself.
    """

    text: str
    argument: str
    fitting: int | None = None
    length: float = 0
    fatal: bool = False

    @property
    def side(self) -> str:
        """Return "long" or "short" for a length that may count another unit, since it is quite another than fits."""
        if self.fitting is None or self.fitting / 2 < self.length < self.fitting * 2:
            return ""
        return "long" if self.length > self.fitting else "short"


def schedule_mistakes(scheduler: Any, steps: int, interval: str = "step", frequency: int = 1) -> list[str]:
    """Return, a line each, what is odd about a scheduler of torch's that is stepped `steps` times in the whole run.

    `interval` and `frequency` are its rhythm, for the words. Of a scheduler that is not torch's nothing is known; one
    derived from torch's is as long as that, unless it computes rates or steps in a way of its own.
    Raises ConfigError with the right number where torch is sure to refuse a step.
    """
    warnings = []
    for names, odd in oddities(scheduler, steps):
        own = len(names) == 1
        who = " in ".join(f"`{name}`" for name in reversed(names))
        every = f" (every {frequency} {interval}s)" if frequency > 1 else ""
        text = f"{who} is stepped {counted(steps)}{every} in this run: {odd.text}"
        fits = "ends with the run" if own else "fits its turns"
        advice = "" if odd.fitting is None else f"`{odd.argument}: {odd.fitting}` {fits}"
        advice += OTHER_UNIT.get((interval, odd.side), "") if advice else ""
        if odd.fatal:
            place = ("scheduler", "kwargs", odd.argument) if own else ("scheduler",)
            hint = f"{advice}; with `epochs` and `steps_per_epoch` their product counts."
            raise ConfigError(f"{text}.", title="schedule is too short", config_path=place, hint=hint)
        warnings.append(f"scheduler: {text}.{f' {advice}.' if advice else ''}")
    return warnings


def oddities(scheduler: Any, steps: int, *, is_last: bool = True) -> Iterator[tuple[tuple[str, ...], Oddity]]:
    """Yield what is odd about a scheduler and those within it, each with the names that lead to it."""
    own, (kind, is_as_torch_s) = type(scheduler).__name__, kind_of(scheduler)
    name = kind if is_as_torch_s else ""
    if name == "ChainedScheduler":
        parts = [(part, steps, is_last) for part in scheduler._schedulers]
    elif name == "SequentialLR":
        parts = in_sequence(scheduler, steps, is_last=is_last)
    else:
        parts = []
    for part, count, last in parts:
        yield from (((own, *names), odd) for names, odd in oddities(part, count, is_last=last))
    if (judge := JUDGES.get(kind)) is None:
        return
    for odd in judge(scheduler, steps, is_last):
        if is_as_torch_s:
            yield (own,), odd
        elif odd.fatal:
            yield (own,), odd._replace(text=f"as `{kind}`, which it is derived from, {odd.text}", fatal=False)


def kind_of(scheduler: Any) -> tuple[str, bool]:
    """Return the name of the class of torch's that a scheduler is of, or derived from, and whether it steps alike.

    One that has a method of its own for its rates or its steps may do anything.
    """
    own = type(scheduler)
    for cls in own.__mro__:
        if cls.__module__ == TORCH:
            alike = all(getattr(own, name, None) is getattr(cls, name, None) for name in ("step", "get_lr"))
            return cls.__name__, alike
    return "", False


def in_sequence(scheduler: Any, steps: int, *, is_last: bool) -> list[tuple[Any, int, bool]]:
    """Return the schedulers of a sequence whose turn comes, each with how often it is stepped and if it is the last."""
    bounds = [min(bound, steps) for bound in (0, *scheduler._milestones, steps)]
    turns = [end - start for start, end in pairwise(bounds)]
    parts = [(part, count) for part, count in zip(scheduler._schedulers, turns, strict=False) if count]
    return [(part, count, is_last and number == len(parts)) for number, (part, count) in enumerate(parts, 1)]


def sequence(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    late = [milestone for milestone in scheduler._milestones if milestone >= steps]
    if late:
        waiting = scheduler._schedulers[len(scheduler._milestones) - len(late) + 1 :]
        names = " and ".join(f"`{type(each).__name__}`" for each in waiting)
        yield Oddity(f"the turn of {names}, from milestone {late[0]} on, does not come", "milestones")


def one_cycle(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    total = scheduler.total_steps
    if steps - (not is_last) > total:
        yield Oddity(f"it takes {total} steps and refuses the next", "total_steps", steps, total, fatal=True)
    elif total - steps > slack(steps):
        yield Oddity(f"its cycle of {total} does not come to its end", "total_steps", steps, total)


def cosine(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    half = scheduler.T_max  # of a wave: down, then up again
    halves = max(1, round(steps / half))
    if half - steps > slack(steps):
        yield Oddity(f"it does not come to its lowest rate, after {half}", "T_max", steps, half)
    elif halves % 2 == 0 or abs(steps - halves * half) > slack(steps / halves):
        yield Oddity(f"it is at its lowest rate after {half}, and rises again", "T_max", steps, half)


def warm_restarts(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    first, factor = scheduler.T_0, scheduler.T_mult
    done, length = last_cycle(first, factor, steps)
    if ends_low(first, factor, steps):
        return
    sizes = [sum(factor**number for number in range(cycles)) for cycles in range(1, steps) if factor**cycles <= steps]
    choices = [max(1, round(steps / size)) for size in sizes or [1]]
    fitting = min((each for each in choices if ends_low(each, factor, steps)), key=lambda each: abs(each - first))
    text = f"it ends {done:.0%} into a cycle of {length}, with a high rate"
    yield Oddity(text, "T_0", fitting, first)


def last_cycle(first: int, factor: int, steps: int) -> tuple[float, int]:
    """Return how much of its last cycle a cosine with restarts has done in its last step, and the cycle's length."""
    start, length = 0, first
    while start + length < steps:
        start, length = start + length, length * factor
    return (steps - 1 - start) / length, length


def ends_low(first: int, factor: int, steps: int) -> bool:
    done, length = last_cycle(first, factor, steps)
    return (1 + math.cos(math.pi * done)) / 2 <= HIGH or (1 - done) * length <= 1 + slack(steps)


def triangles(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    if scheduler.total_size - steps > slack(steps):
        up = max(1, round(steps * scheduler.step_ratio))
        text = f"its cycle of {scheduler.total_size:.0f} does not come to its end"
        yield Oddity(text, "step_size_up", up, scheduler.total_size * scheduler.step_ratio)


def polynomial(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    total = scheduler.total_iters
    if total - steps > slack(steps):
        yield Oddity(f"its decay over {total} does not come to its end", "total_iters", steps, total)
    elif steps - total > slack(steps, IDLE):
        yield Oddity(f"its rate is 0 after {total}, and nothing is trained then", "total_iters", steps, total)


def linear(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    total, start, end = scheduler.total_iters, scheduler.start_factor, scheduler.end_factor
    what = "decay" if end < start else "warm-up"
    if start != end and total - steps > slack(steps):
        yield Oddity(f"its {what} over {total} does not come to its end", "total_iters", steps, total)
    elif end < start and steps - total > slack(steps, 20 if end else IDLE):
        then = "and nothing is trained then" if end == 0 else f"at {end:g} of the rate"
        yield Oddity(f"its decay is over after {total}, {then}", "total_iters", steps, total)


def constant(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    if is_last and scheduler.factor != 1 and scheduler.total_iters >= steps:
        text = f"its factor of {scheduler.factor:g} is taken back after {scheduler.total_iters} only"
        yield Oddity(text, "total_iters")


def decay_by_steps(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    if is_last and scheduler.step_size >= steps:
        yield Oddity(f"the rate would change after {scheduler.step_size} only", "step_size")


def decay_at_milestones(scheduler: Any, steps: int, is_last: bool) -> Iterator[Oddity]:
    late = sorted(milestone for milestone in scheduler.milestones if milestone >= steps)
    if is_last and late:
        numbers = " and ".join(map(str, late))
        yield Oddity(f"the rate would change after {numbers} only", "milestones")


JUDGES: dict[str, Callable[[Any, int, bool], Iterator[Oddity]]] = {
    "SequentialLR": sequence,
    "OneCycleLR": one_cycle,
    "CosineAnnealingLR": cosine,
    "CosineAnnealingWarmRestarts": warm_restarts,
    "CyclicLR": triangles,
    "PolynomialLR": polynomial,
    "LinearLR": linear,
    "ConstantLR": constant,
    "StepLR": decay_by_steps,
    "MultiStepLR": decay_at_milestones,
}


def slack(steps: float, share: int = 20) -> float:
    """Return by how much a schedule may miss the end of the run: its last steps are of no matter."""
    return max(1, steps // share)


def counted(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"
