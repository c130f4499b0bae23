"""Groups of parameters by schedules of their own have the rates of torch's schedulers, each on its own group."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, parameters_of, random_batches, small_model
from torch.optim import lr_scheduler

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.components.sched import TorchSchedulerFactory
from otrainer.components.sched_groups import GroupsFactory
from otrainer.components.sched_phases import PhasesFactory
from otrainer.engine.schedule_length import schedule_mistakes
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.registry import build_registry

BATCHES, EPOCHS = 5, 3


def by_steps(name: str, **kwargs: Any) -> TorchSchedulerFactory:
    return TorchSchedulerFactory(f"sched_cls.{name}", kwargs=kwargs, interval="step")


def warm_up() -> PhasesFactory:
    first = {"type": "sched_cls.LinearLR", "kwargs": {"start_factor": 0.1, "total_iters": "auto"}, "length": 4}
    return PhasesFactory([first, {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}}])


def optimizer(**more: Any) -> TorchOptimizerFactory:
    groups = [{"match": "*.bias", "lr": 0.02, "name": "biases"}]
    return TorchOptimizerFactory("optim_cls.SGD", kwargs={"lr": 0.1, "momentum": 0.9}, groups=groups, **more)


class Rates:
    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_step_end(self, ctx: Any) -> None:
        self.seen.append(list(ctx.last_train_logs.rates))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": [*self.seen]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = [*state["seen"]]


def train(scheduler: Any, *callbacks: Any, **run: Any) -> tuple[list[list[float]], torch.Tensor]:
    rates, model = Rates(), small_model()
    with StopRequest(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # as torch warns of schedulers that step before their optimizer
        fit(
            model,
            Batches(random_batches(BATCHES), random_batches(1)),
            trainer={"max_epochs": EPOCHS},
            optimizer=optimizer(),
            scheduler=scheduler,
            callbacks=[rates, *callbacks],
            run=run,
        )
    return rates.seen, parameters_of(model)


def two_optimizers() -> tuple[list[list[float]], torch.Tensor]:
    """Plain torch: each group in an optimizer with a scheduler of its own."""
    model = small_model()
    weights = torch.optim.SGD(
        [p for n, p in model.named_parameters() if not n.endswith("bias")], 0.1, momentum=0.9, fused=True
    )
    biases = torch.optim.SGD(
        [p for n, p in model.named_parameters() if n.endswith("bias")], 0.02, momentum=0.9, fused=True
    )
    first = lr_scheduler.LinearLR(biases, start_factor=0.1, total_iters=4)
    rest = lr_scheduler.CosineAnnealingLR(biases, BATCHES * EPOCHS - 4)
    schedules = [lr_scheduler.ExponentialLR(weights, 0.9), lr_scheduler.SequentialLR(biases, [first, rest], [4])]
    rates = []
    for batch in random_batches(BATCHES) * EPOCHS:
        loss = torch.nn.functional.mse_loss(model(batch["x"]), batch["y"])
        for each in (weights, biases):
            each.zero_grad()
        loss.backward()
        rates.append([each.param_groups[0]["lr"] for each in (weights, biases)])
        for each in (weights, biases, *schedules):
            each.step()
    return rates, parameters_of(model)


def own_schedules() -> GroupsFactory:
    return GroupsFactory({"biases": warm_up()}, rest=by_steps("ExponentialLR", gamma=0.9))


def test_each_group_goes_by_its_own_schedule() -> None:
    rates, weights = train(own_schedules())
    wanted, plain = two_optimizers()
    assert rates == wanted
    assert torch.equal(weights, plain)


def test_groups_without_a_schedule_keep_their_rate() -> None:
    rates, _ = train(GroupsFactory({"biases": warm_up()}))
    assert {rest for rest, _ in rates} == {0.1}
    assert len({own for _, own in rates}) > 3


@pytest.mark.parametrize("stop_at", [3, 4, 5, 9])
def test_a_run_that_is_stopped_about_a_phase_of_a_group_goes_on_as_it_would_have(tmp_path: Path, stop_at: int) -> None:
    def go_on(*callbacks: Any, resumes: bool = True) -> tuple[list[list[float]], torch.Tensor]:
        run = {"resume_from": str(tmp_path / "last.pt")} if resumes else {}
        return train(own_schedules(), ModelCheckpoint(str(tmp_path)), *callbacks, **run)

    whole, weights = train(own_schedules())
    with pytest.raises(TrainingInterrupted):
        go_on(StopAt(stop_at), resumes=False)
    with pytest.raises(TrainingInterrupted):
        go_on(StopAt(stop_at + 2))
    rates, continued = go_on()
    assert rates == whole
    assert torch.equal(continued, weights)


def built(factory: GroupsFactory, **more: Any) -> Any:
    return factory.build(optimizer(**more).build(small_model(), registry=build_registry()), registry=build_registry())


def test_what_an_optimizer_made_apart_of_a_group_goes_with_it() -> None:
    made = built(GroupsFactory({"biases": by_steps("ExponentialLR", gamma=0.5)}), no_decay=["bias"]).scheduler
    made.optimizer.step()
    made.step()
    assert {group.get("name", ""): group["lr"] for group in made.optimizer.param_groups} == {
        "": 0.1,
        "biases_no_decay": 0.01,
    }


def test_what_is_odd_about_the_length_of_a_schedule_is_told_of_a_group_s_too() -> None:
    made = built(GroupsFactory({"biases": by_steps("CosineAnnealingLR", T_max=100)})).scheduler
    (told,) = schedule_mistakes(made, 15)
    assert "does not come to its lowest rate" in told


@pytest.mark.parametrize(
    ("groups", "rest", "place", "words"),
    [
        ({"bias": by_steps("ExponentialLR", gamma=0.5)}, None, ("groups", "bias"), "no group `bias`"),
        ({"biases": by_steps("ExponentialLR", gama=0.5)}, None, ("groups", "biases", "kwargs", "gama"), "gama"),
        (
            {"biases": by_steps("ExponentialLR", gamma=0.5)},
            TorchSchedulerFactory("sched_cls.ExponentialLR", kwargs={"gamma": 0.5}),
            ("rest",),
            "steps every epoch, and the one of `biases` every step",
        ),
        (
            {"biases": TorchSchedulerFactory("sched_cls.ReduceLROnPlateau", interval="metric", monitor="val_loss")},
            None,
            ("groups", "biases"),
            "not by a metric",
        ),
    ],
)
def test_what_does_not_fit_is_told_at_its_place(groups: Any, rest: Any, place: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        built(GroupsFactory(groups, rest))
    assert caught.value.findings[0].config_path == ("scheduler", *place)


def test_what_is_no_schedule_is_refused() -> None:
    for groups, place in (({}, ("groups",)), ({"biases": 1}, ("groups", "biases"))):
        with pytest.raises(ConfigError) as caught:
            GroupsFactory(groups)
        assert caught.value.findings[0].config_path == ("scheduler", *place)


def test_nothing_is_left_to_the_rest_where_each_group_has_a_schedule() -> None:
    decay = by_steps("ExponentialLR", gamma=0.5)
    groups = [{"match": "*.bias", "name": "biases"}, {"match": "*.weight", "name": "weights"}]
    both = TorchOptimizerFactory("optim_cls.SGD", kwargs={"lr": 0.1}, groups=groups)
    with pytest.raises(ConfigError, match="nothing goes by `rest`"):
        GroupsFactory({"biases": decay, "weights": decay}, decay).build(
            both.build(small_model(), registry=build_registry()), registry=build_registry()
        )
