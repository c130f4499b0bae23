"""A schedule that does not end with the run is told with the number that does.

Each verdict is held against the rates of torch's own steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from otrainer.engine.schedule_length import schedule_mistakes
from otrainer.errors import ConfigError


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)


def rates(scheduler: Any, steps: int) -> list[float]:
    """The rate of each of `steps` steps; raises what torch raises."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing is optimized between the steps
        for _ in range(steps):
            found.append(scheduler.optimizer.param_groups[0]["lr"])
            scheduler.step()
    return found


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        yield


Make = Callable[[torch.optim.Optimizer, int], Any]


def after_warm_up(make: Make, milestone: int = 3) -> Make:
    """`make`, behind a warm-up of some steps."""
    return lambda optim, number: schedulers.SequentialLR(
        optim, [schedulers.LinearLR(optim, total_iters=milestone), make(optim, number)], [milestone]
    )


def one_cycle(optim: torch.optim.Optimizer, number: int) -> Any:
    return schedulers.OneCycleLR(optim, max_lr=1.0, total_steps=number)


# How to make each with a number, and the number that the word of a warning gives.
ENDING: dict[str, Make] = {
    "total_steps": one_cycle,
    "T_max": lambda optim, number: schedulers.CosineAnnealingLR(optim, T_max=number),
    "polynomial total_iters": lambda optim, number: schedulers.PolynomialLR(optim, total_iters=number),
    "linear total_iters": lambda optim, number: schedulers.LinearLR(optim, 1.0, 0.0, total_iters=number),
    "T_0": lambda optim, number: schedulers.CosineAnnealingWarmRestarts(optim, T_0=number),
    "doubling T_0": lambda optim, number: schedulers.CosineAnnealingWarmRestarts(optim, T_0=number, T_mult=2),
    "step_size_up": lambda optim, number: schedulers.CyclicLR(
        optim, 0.0, 1.0, step_size_up=number, step_size_down=number
    ),
}


@pytest.mark.parametrize("name", ENDING)
@pytest.mark.parametrize("steps", [12, 40, 250])
def test_the_number_that_is_told_ends_with_the_run(name: str, steps: int) -> None:
    make, told = ENDING[name], 0
    for number in {1, 2, 5, steps // 2, steps - 3, steps, steps + 5, 3 * steps, 10 * steps}:
        try:
            found = schedule_mistakes(make(optimizer(), number), steps)
        except ConfigError as error:
            found = [error.findings[0].hint]
        if not found:
            continue
        argument = name.split()[-1]
        (line,) = found
        fitting = int(line.partition(f"`{argument}: ")[2].partition("`")[0])
        assert schedule_mistakes(make(optimizer(), fitting), steps) == []
        run = rates(make(optimizer(), fitting), steps)
        assert run[-1] < 0.2 * max(run), "its last steps are at its lowest rates"
        told += 1
    assert told > 2


@pytest.mark.parametrize("steps", [12, 40, 250])
@pytest.mark.parametrize("name", ["T_max", "total_steps", "polynomial total_iters", "linear total_iters"])
def test_nothing_is_said_exactly_where_the_last_step_has_the_lowest_rate(name: str, steps: int) -> None:
    outcomes = set()
    for number in range(max(2, steps // 9), 3 * steps):
        scheduler = ENDING[name](optimizer(), number)
        try:
            silent = not schedule_mistakes(scheduler, steps)
        except ConfigError:
            continue  # held below
        run = rates(scheduler, steps)
        idle, end = sum(rate == 0 for rate in run), run[-1] / max(run)
        if idle > max(2, steps // 50) or end > 0.11 + 1 / steps:
            assert not silent, number
        elif idle <= 1 and end < 0.002:
            assert silent, number
        outcomes.add(silent)
    assert outcomes == {True, False}


@pytest.mark.parametrize("make", [one_cycle, after_warm_up(one_cycle)], ids=["alone", "in sequence"])
def test_a_cycle_is_refused_exactly_where_torch_refuses_a_step(make: Make) -> None:
    outcomes = set()
    for steps in range(4, 14):
        for total in range(2, 14):
            refused = torch_refuses(make(optimizer(), total), steps)
            outcomes.add(refused)
            assert refuses(make(optimizer(), total), steps) == refused, (steps, total)
    assert outcomes == {True, False}


def test_a_cycle_before_others_is_refused_exactly_where_torch_refuses_a_step() -> None:
    def make(total: int) -> Any:
        optim = optimizer()
        return schedulers.SequentialLR(optim, [one_cycle(optim, total), schedulers.ConstantLR(optim)], [6])

    found = {total: torch_refuses(make(total), 9) for total in range(2, 9)}
    assert found == {total: refuses(make(total), 9) for total in range(2, 9)}
    assert set(found.values()) == {True, False}


def torch_refuses(scheduler: Any, steps: int) -> bool:
    try:
        rates(scheduler, steps)
    except ValueError:
        return True
    return False


def refuses(scheduler: Any, steps: int) -> bool:
    try:
        schedule_mistakes(scheduler, steps)
    except ConfigError:
        return True
    return False


def test_a_cycle_that_is_too_short_is_an_error_at_its_number() -> None:
    with pytest.raises(ConfigError) as caught:
        schedule_mistakes(one_cycle(optimizer(), 39), 40)
    assert caught.value.config_path == ("scheduler", "kwargs", "total_steps")
    assert str(caught.value).startswith(
        "`OneCycleLR` is stepped 40 times in this run: it takes 39 steps and refuses the next."
    )
    assert "`total_steps: 40` ends with the run" in caught.value.findings[0].hint


def test_the_other_unit_is_named_where_that_may_be_meant() -> None:
    (line,) = schedule_mistakes(one_cycle(optimizer(), 40), 2, "epoch")
    assert line == (
        "scheduler: `OneCycleLR` is stepped 2 times in this run: its cycle of 40 does not come to its end. "
        "`total_steps: 2` ends with the run, or `interval: step` if it counts optimizer steps."
    )
    (line,) = schedule_mistakes(schedulers.CosineAnnealingLR(optimizer(), T_max=2), 40, "step")
    assert line.endswith("`T_max: 40` ends with the run, or `interval: epoch` if it counts epochs.")
    (line,) = schedule_mistakes(schedulers.CosineAnnealingLR(optimizer(), T_max=12), 40, "step", 3)
    assert "is stepped 40 times (every 3 steps) in this run" in line


SILENT: dict[str, Make] = {
    "a warm-up": lambda optim, steps: schedulers.LinearLR(optim, total_iters=5),
    "an endless decay": lambda optim, steps: schedulers.ExponentialLR(optim, 0.9),
    "a decay at times": lambda optim, steps: schedulers.StepLR(optim, steps // 2),
    "cosines down, up and down": lambda optim, steps: schedulers.CosineAnnealingLR(optim, steps / 3),
    "many triangles": lambda optim, steps: schedulers.CyclicLR(optim, 0.0, 1.0, step_size_up=steps // 9),
    "a function": lambda optim, steps: schedulers.LambdaLR(optim, lambda step: 1 / (1 + step)),
    "milestones": lambda optim, steps: schedulers.MultiStepLR(optim, [2, steps - 1]),
    "by a metric": lambda optim, steps: schedulers.ReduceLROnPlateau(optim),
    "warm-up and cosine": after_warm_up(lambda optim, steps: schedulers.CosineAnnealingLR(optim, steps - 3)),
    "own": lambda optim, steps: Own(optim, 3),
}


class Own(schedulers.CosineAnnealingLR):
    """What somebody derived, with rates of its own: it may do anything."""

    def get_lr(self) -> Any:
        return [0.1 for _ in self.base_lrs]


class Cycle(schedulers.OneCycleLR):
    """A cycle with arguments of its own."""

    def __init__(self, optim: torch.optim.Optimizer, number: int) -> None:
        super().__init__(optim, max_lr=1.0, total_steps=number)


class Cosine(schedulers.CosineAnnealingLR):
    """A cosine by another name."""


class Turns(schedulers.SequentialLR):
    """A sequence by another name."""


class Halved(Cycle):
    """A cycle that computes its rates itself, by those of torch's."""

    def get_lr(self) -> Any:
        return [rate / 2 for rate in super().get_lr()]


def test_a_derived_scheduler_is_as_long_as_the_class_itself() -> None:
    assert torch_refuses(Cycle(optimizer(), 9), 10)
    assert refuses(Cycle(optimizer(), 9), 10)
    assert not refuses(Cycle(optimizer(), 10), 10)
    (line,) = schedule_mistakes(Cosine(optimizer(), 60), 30)
    assert line.startswith("scheduler: `Cosine` is stepped 30 times in this run: it does not come to its lowest rate")

    optim = optimizer()
    parts = [schedulers.LinearLR(optim, total_iters=3), Cosine(optim, 5)]
    (line,) = schedule_mistakes(Turns(optim, parts, [3]), 30)
    assert "`Cosine` in `Turns` is stepped" in line


def test_one_with_rates_of_its_own_that_may_be_too_short_is_told_only() -> None:
    assert torch_refuses(Halved(optimizer(), 9), 10)
    (line,) = schedule_mistakes(Halved(optimizer(), 9), 10)
    assert "`Halved`" in line
    assert "as `OneCycleLR`, which it is derived from, it takes 9 steps and refuses the next" in line


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_said_of_what_is_well(name: str) -> None:
    assert schedule_mistakes(SILENT[name](optimizer(), 30), 30) == []


NEVER: dict[str, tuple[Make, str]] = {
    "a step": (lambda optim, steps: schedulers.StepLR(optim, steps), "would change after 30 only"),
    "milestones": (lambda optim, steps: schedulers.MultiStepLR(optim, [2, 90, 60]), "after 60 and 90 only"),
    "a factor": (
        lambda optim, steps: schedulers.ConstantLR(optim, 0.1, steps),
        "its factor of 0.1 is taken back after",
    ),
    "a warm-up": (lambda optim, steps: schedulers.LinearLR(optim, total_iters=90), "its warm-up over 90"),
    "a turn": (after_warm_up(one_cycle, 45), "the turn of `OneCycleLR`, from milestone 45 on, does not come"),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_would_come_after_the_run_is_told(name: str) -> None:
    make, words = NEVER[name]
    found = schedule_mistakes(make(optimizer(), 30), 30)
    assert any(words in line for line in found), found


def test_schedulers_within_others_are_looked_at() -> None:
    found = schedule_mistakes(after_warm_up(ENDING["T_max"])(optimizer(), 5), 30)
    (line,) = found
    assert line.startswith("scheduler: `CosineAnnealingLR` in `SequentialLR` is stepped ")
    assert line.endswith(" `T_max: 27` fits its turns, or `interval: epoch` if it counts epochs.")
    optim = optimizer()
    chained = schedulers.ChainedScheduler(
        [schedulers.ConstantLR(optim, 0.5, 2), schedulers.CosineAnnealingLR(optim, 60)]
    )
    assert len(schedule_mistakes(chained, 30)) == 1
