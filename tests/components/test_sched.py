"""Schedules that know how long the run is, in one piece and in phases, are those that torch makes of the numbers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, PairIO, fit, parameters_of, random_batches, small_model
from torch.optim import lr_scheduler

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import TorchLoss
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.components.sched import TorchSchedulerFactory
from otrainer.components.sched_chained import ChainedFactory, FunctionFactory
from otrainer.components.sched_phases import PhasesFactory
from otrainer.engine.checkpoint.restore import check_fits
from otrainer.engine.parts import Parts
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.protocols import RunLength
from otrainer.registry import build_registry

BATCHES = 5
Make = Callable[[torch.optim.Optimizer], Any]


class Rates:
    """Notes the learning rate of each step, and sends a signal after one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.seen = stop_at, list[float]()

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.seen.append(ctx.last_train_logs.rates[0])
        if ctx.state.global_step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self.seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = list(state["seen"])


def by_hand(make: Make, steps: int, every: int = 1) -> list[float]:
    """The learning rates of steps under a scheduler of torch's that is stepped after every so many of them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler, rates = make(optimizer), []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0:
            scheduler.step()
    return rates


def trained(scheduler: Any, trainer: dict[str, Any], **run: Any) -> list[float]:
    rates = Rates()
    optimizer = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9}}
    data = Batches(random_batches(BATCHES), random_batches(1))
    fit(small_model(), data, trainer=trainer, optimizer=optimizer, scheduler=scheduler, callbacks=[rates], run=run)
    return rates.seen


@pytest.mark.parametrize(
    ("scheduler", "trainer", "steps", "make"),
    [
        (
            {"type": "sched_cls.OneCycleLR", "kwargs": {"max_lr": 0.5, "total_steps": "auto"}},
            {"max_epochs": 3},
            15,
            lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=15),
        ),
        (
            {"type": "sched_cls.OneCycleLR", "kwargs": {"max_lr": 0.5, "total_steps": "auto"}},
            {"max_epochs": 3, "grad_accum_steps": 2},
            9,
            lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=9),
        ),
        (
            {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}, "interval": "step"},
            {"max_steps": 7},
            7,
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 7),
        ),
        (
            {"type": "sched_cls.PolynomialLR", "kwargs": {"total_iters": "auto"}, "interval": "step"},
            {"max_epochs": 2, "train_batches": 3},
            6,
            lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 6),
        ),
    ],
)
def test_a_length_that_is_auto_is_that_of_the_run(
    scheduler: Any, trainer: dict[str, Any], steps: int, make: Make
) -> None:
    assert trained(scheduler, trainer) == by_hand(make, steps)


def test_an_epoch_is_the_unit_of_what_steps_by_epochs() -> None:
    scheduler = {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}}
    rates = trained(scheduler, {"max_epochs": 4})
    assert rates == by_hand(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 4), 20, every=BATCHES)


@pytest.mark.parametrize(
    ("key", "interval"),
    [("OneCycleLR", "step"), ("CyclicLR", "step"), ("StepLR", "epoch"), ("CosineAnnealingLR", "epoch")],
)
def test_a_scheduler_steps_by_what_fits_its_class(key: str, interval: str) -> None:
    kwargs = {
        "OneCycleLR": {"max_lr": 1.0, "total_steps": 9},
        "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0},
        "StepLR": {"step_size": 2},
        "CosineAnnealingLR": {"T_max": 2},
    }[key]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    bundle = TorchSchedulerFactory(f"sched_cls.{key}", kwargs=kwargs).build(optimizer, registry=build_registry())
    assert bundle.interval == interval


def warm_up_and_cosine(optimizer: torch.optim.Optimizer) -> Any:
    warm_up = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=3)
    return lr_scheduler.SequentialLR(optimizer, [warm_up, lr_scheduler.CosineAnnealingLR(optimizer, 12)], [3])


def stable_then_decay(optimizer: torch.optim.Optimizer) -> Any:
    """Warm-up, stable, decay (Hu et al., 2024)."""
    parts = [
        lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=3),
        lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=9),
        lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=3),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [3, 12])


WARM_UP = {"type": "sched_cls.LinearLR", "kwargs": {"start_factor": 0.1, "total_iters": "auto"}}
COSINE = {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}}
STABLE = {"type": "sched_cls.ConstantLR", "kwargs": {"factor": 1.0, "total_iters": "auto"}, "length": "60%"}
DECAY = {
    "type": "sched_cls.LinearLR",
    "kwargs": {"start_factor": 1.0, "end_factor": 0.1, "total_iters": "auto"},
}


@pytest.mark.parametrize(
    ("phases", "make"),
    [
        ([{**WARM_UP, "length": 3}, COSINE], warm_up_and_cosine),
        ([{**WARM_UP, "length": "20%"}, COSINE], warm_up_and_cosine),
        ([{**WARM_UP, "length": "20%"}, STABLE, DECAY], stable_then_decay),
    ],
)
def test_phases_are_schedulers_in_sequence(phases: list[dict[str, Any]], make: Make) -> None:
    assert trained(PhasesFactory(phases), {"max_epochs": 3}) == by_hand(make, 15)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 11, 12, 13])
def test_a_run_that_is_stopped_about_the_end_of_a_phase_goes_on_as_it_would_have(tmp_path: Path, stop_at: int) -> None:
    phases = [{**WARM_UP, "length": 3}, STABLE, DECAY]

    def train(folder: Path, stop_at: int | None = None, **run: Any) -> tuple[torch.Tensor, list[float]]:
        model, rates = small_model(), Rates(stop_at)
        with StopRequest():
            fit(
                model,
                Batches(random_batches(BATCHES)),
                trainer={"max_epochs": 3},
                scheduler=PhasesFactory(phases),
                callbacks=[rates, ModelCheckpoint(str(folder))],
                run=run,
            )
        return parameters_of(model), rates.seen

    whole = train(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", stop_at)
    continued = train(tmp_path / "broken", resume_from=str(tmp_path / "broken/last.pt"))
    assert torch.equal(continued[0], whole[0])
    assert continued[1] == whole[1]


def parts_of(scheduler: Any) -> Parts:
    return Parts(
        model=small_model(),
        datamodule=Batches(random_batches(BATCHES)),
        io=PairIO(),
        loss=TorchLoss(torch.nn.MSELoss()),
        optimizer_factory=TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 0.1}),
        scheduler_factory=scheduler,
        registry=build_registry(),
    )


def test_before_the_data_are_there_a_checkpoint_fits_whatever_length_the_run_has(tmp_path: Path) -> None:
    """What it lacks then is compared once training begins."""

    def train(max_epochs: int, **run: Any) -> None:
        fit(
            small_model(),
            Batches(random_batches(BATCHES)),
            trainer={"max_epochs": max_epochs},
            optimizer=TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 0.1}),
            scheduler=PhasesFactory([{**WARM_UP, "length": 3}, COSINE]),
            callbacks=[ModelCheckpoint(str(tmp_path))],
            run=run,
        )

    train(2)
    parts = parts_of(PhasesFactory([{**WARM_UP, "length": 3}, COSINE]))
    check_fits(tmp_path / "last.pt", DefaultTrainer(max_epochs=2), parts)
    with pytest.raises(ConfigError, match="the learning rate depends on both over the whole run"):
        train(3, resume_from=str(tmp_path / "last.pt"))


def build(factory: Any, length: RunLength | None) -> Any:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    return factory.build(optimizer, registry=build_registry(), length=length)


UNKNOWN = RunLength(step=None, epoch=None, metric=None)


@pytest.mark.parametrize("length", [None, UNKNOWN])
def test_a_length_that_nobody_knows_is_told_at_its_place(length: RunLength | None) -> None:
    factory = TorchSchedulerFactory("sched_cls.CosineAnnealingLR", kwargs={"T_max": "auto"}, interval="step")
    with pytest.raises(ConfigError, match="`T_max: auto`") as caught:
        build(factory, length)
    assert caught.value.findings[0].config_path == ("scheduler", "kwargs", "T_max")

    with pytest.raises(ConfigError, match="`T_max: auto`") as caught:
        build(PhasesFactory([{**WARM_UP, "length": 3}, COSINE]), length)
    assert caught.value.findings[0].config_path == ("scheduler", "phases", 1, "kwargs", "T_max")

    with pytest.raises(ConfigError, match="`length: 5%`") as caught:
        build(PhasesFactory([{**WARM_UP, "length": "5%"}, COSINE]), length)
    assert caught.value.findings[0].config_path == ("scheduler", "phases", 0, "length")


def test_phases_of_known_lengths_need_no_length_of_the_run() -> None:
    plain = {"type": "sched_cls.ConstantLR", "kwargs": {"factor": 1.0}}
    factory = PhasesFactory([{**WARM_UP, "length": 3}, plain])
    assert not factory.needs_length
    assert build(factory, None).scheduler._milestones == [3]


def test_phases_longer_than_the_run_are_refused() -> None:
    with pytest.raises(ConfigError, match="The phases before the last one take 15 turns, and the whole run has 15"):
        trained(PhasesFactory([{**WARM_UP, "length": 15}, COSINE]), {"max_epochs": 3})


@pytest.mark.parametrize(
    ("phases", "place", "words"),
    [
        ([], (), "`phases` lists schedulers"),
        (["sched_cls.StepLR"], (0,), "A phase is a mapping"),
        ([{"type": "sched_cls.StepLR", "len": 3}], (0, "len"), "A phase has no `len`"),
        ([{"type": "StepLR"}], (0, "type"), "not `StepLR`"),
        ([{**COSINE, "length": 3}], (0, "length"), "The last phase has a `length`"),
        ([COSINE, COSINE], (0, "length"), "a number from 1 on or a share such as `5%`, not None"),
        ([{**COSINE, "length": "half"}, COSINE], (0, "length"), "not 'half'"),
        ([{**COSINE, "length": 0}, COSINE], (0, "length"), "not 0"),
    ],
)
def test_what_is_no_phase_is_told_at_its_place(phases: Any, place: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PhasesFactory(phases)
    assert words in str(caught.value.findings[0].message)
    assert caught.value.findings[0].config_path == ("scheduler", "phases", *place)


def test_what_torch_has_against_a_phase_is_told_at_that_phase() -> None:
    wrong = {"type": "sched_cls.LinearLR", "kwargs": {"start_factor": -1.0}}
    unknown = {"type": "sched_cls.StepLR", "kwargs": {"step": 3}}
    plateau = {"type": "sched_cls.ReduceLROnPlateau"}
    for phase, place in ((wrong, ("kwargs",)), (unknown, ("kwargs", "step")), (plateau, ("type",))):
        with pytest.raises(ConfigError) as caught:
            build(PhasesFactory([{**WARM_UP, "length": 3}, phase]), RunLength(9, 9, 9))
        assert caught.value.findings[0].config_path == ("scheduler", "phases", 1, *place)


CHAIN = [
    {"type": "sched_cls.LinearLR", "kwargs": {"start_factor": 0.1, "total_iters": 4}},
    {"type": "sched_cls.ExponentialLR", "kwargs": {"gamma": 0.9}},
]


def chained(optimizer: torch.optim.Optimizer) -> Any:
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    return lr_scheduler.ChainedScheduler(parts)


def inverse_root(turn: int) -> float:
    return (1 + turn) ** -0.5


def linear(turn: int, *, length: int) -> float:
    return 1 - turn / length


@pytest.fixture
def with_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry of every fit has two functions more."""
    registry = build_registry()
    registry.register_op("inverse_root", inverse_root)
    registry.register_op("linear", linear)
    monkeypatch.setattr("support.build_registry", lambda: registry)


def test_chained_schedulers_step_together() -> None:
    assert trained(ChainedFactory(CHAIN), {"max_epochs": 3}) == by_hand(chained, 15)


@pytest.mark.usefixtures("with_ops")
def test_a_function_of_a_plugin_is_what_the_rate_is_multiplied_by() -> None:
    own = trained(FunctionFactory("op:inverse_root"), {"max_epochs": 2})
    long = trained(FunctionFactory("op:linear", takes_length=True), {"max_epochs": 2})

    assert own == by_hand(lambda optimizer: lr_scheduler.LambdaLR(optimizer, inverse_root), 10)
    assert long == by_hand(lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda turn: 1 - turn / 10), 10)


@pytest.mark.usefixtures("with_ops")
@pytest.mark.parametrize("factory", [ChainedFactory(CHAIN), FunctionFactory("op:linear", takes_length=True)])
@pytest.mark.parametrize("stop_at", [3, 4, 5, 7])
def test_chains_and_functions_go_on_exactly(factory: Any, stop_at: int, tmp_path: Path) -> None:
    whole = trained(factory, {"max_epochs": 2})

    def go_on(stop_at: int | None, **run: Any) -> list[float]:
        rates = Rates(stop_at)
        with StopRequest():
            fit(
                small_model(),
                Batches(random_batches(BATCHES), random_batches(1)),
                trainer={"max_epochs": 2},
                optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9}},
                scheduler=factory,
                callbacks=[rates, ModelCheckpoint(str(tmp_path))],
                run=run,
            )
        return rates.seen

    with pytest.raises(TrainingInterrupted):
        go_on(stop_at)
    assert go_on(None, resume_from=str(tmp_path / "last.pt")) == whole


@pytest.mark.parametrize(
    ("key", "kwargs", "fits"),
    [
        ("OneCycleLR", {"max_lr": 1e-3, "total_steps": 10}, False),
        ("OneCycleLR", {"max_lr": [1e-3, 1e-4], "total_steps": 10}, True),
        ("CyclicLR", {"base_lr": 1e-4, "max_lr": 1e-3, "cycle_momentum": False}, False),
        ("CosineAnnealingLR", {"T_max": 10}, True),
        ("ConstantLR", {"factor": 0.0}, True),
    ],
)
def test_rates_of_groups_are_not_undone_without_a_word(key: str, kwargs: dict[str, Any], fits: bool) -> None:
    """A single `max_lr` is that of all groups, whatever `lr_scale` or `layer_decay` made of theirs (pytorch#73305)."""
    groups = [{"match": "0.*", "lr_scale": 0.1}]
    factory = TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 1e-3}, groups=groups)
    optimizer = factory.build(small_model(), registry=build_registry())
    schedule = TorchSchedulerFactory(f"sched_cls.{key}", kwargs=kwargs)
    if fits:
        schedule.build(optimizer, registry=build_registry())
        return
    with pytest.raises(ConfigError, match="one learning rate, and theirs differ") as caught:
        schedule.build(optimizer, registry=build_registry())
    assert caught.value.config_path == ("scheduler", "type")


@pytest.mark.parametrize(
    ("make", "place"),
    [(lambda part: PhasesFactory([{**WARM_UP, "length": 2}, part]), ("phases", 1)),
     (lambda part: ChainedFactory([part]), ("schedulers", 0))],
)  # fmt: skip
def test_nor_are_they_by_one_of_several_schedulers(make: Callable[[Any], Any], place: tuple[Any, ...]) -> None:
    groups = [{"match": "0.*", "lr_scale": 0.1}]
    factory = TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 1e-3}, groups=groups)
    optimizer = factory.build(small_model(), registry=build_registry())
    one_cycle = {"type": "sched_cls.OneCycleLR", "kwargs": {"max_lr": 1e-3, "total_steps": 10}}
    with pytest.raises(ConfigError, match="one learning rate, and theirs differ") as caught:
        make(one_cycle).build(optimizer, registry=build_registry(), length=RunLength(9, 9, 9))
    assert caught.value.config_path == ("scheduler", *place, "type")


def test_a_last_phase_at_the_rate_of_averaged_weights_is_that_of_torch() -> None:
    """SWALR after a cosine, as torch's own SequentialLR steps them."""
    cosine = {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": 6}, "length": 6}
    rate = {"type": "sched_cls.SWALR", "kwargs": {"swa_lr": 0.05, "anneal_epochs": 3}}
    factory = PhasesFactory([cosine, rate], interval="step")

    def torchs(optimizer: torch.optim.Optimizer) -> Any:
        first = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
        second = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.05, anneal_epochs=3)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[6])

    ours = by_hand(lambda optimizer: factory.build(optimizer, registry=build_registry()).scheduler, 12)
    assert ours == by_hand(torchs, 12)
    assert ours[-1] == 0.05
