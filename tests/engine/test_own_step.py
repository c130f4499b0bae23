"""A trainer's own step: one optimizer or several, as plain torch trains them, and exact across stops at every step."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine import accelerator
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.protocols import StepContext

BATCHES, EPOCHS = 4, 2
RATES = {"generator": 1e-2, "critic": 3e-2}


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.generator = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 4))
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.critic(self.generator(x))
        return y


class Gan(DefaultTrainer):
    """Wasserstein with a gradient penalty, which takes a gradient of a gradient."""

    def training_step(self, ctx: StepContext, batch: Any) -> dict[str, torch.Tensor]:
        generator, critic = ctx.models["generator"], ctx.models["critic"]
        real = batch["x"]
        noise = torch.randn(real.shape)
        with ctx.only("critic"):
            made = generator(noise)
            mixed = torch.lerp(real, made.float(), torch.rand(len(real), 1)).requires_grad_()
            (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
            judged = critic(made).mean() - critic(real).mean() + ((slope.norm(dim=1) - 1) ** 2).mean()
            ctx.backward(judged)
        ctx.step("critic")
        fooled = judged.detach()
        if ctx.is_due("generator"):
            with ctx.only("generator"):
                fooled = -critic(generator(noise)).mean()
                ctx.backward(fooled)
            ctx.step("generator")
        return {"critic_loss": judged, "generator_loss": fooled}

    def validation_step(self, ctx: StepContext, batch: Any) -> LossOutput:
        return LossOutput(ctx.models["critic"](batch["x"]).pow(2).mean(), logs={"mean": batch["x"].mean()})


def optimizers(**more: Any) -> dict[str, Any]:
    """Two optimizers; the generator steps every other step, and the critic's gradients are clipped."""
    return {
        "generator": {"type": "optim_cls.AdamW", "kwargs": {"lr": RATES["generator"]}, "every_n_steps": 2},
        "critic": {"type": "optim_cls.RMSprop", "kwargs": {"lr": RATES["critic"]}, "grad_clip_norm": 0.5},
        **more,
    }


SCHEDULES = {
    "generator": {"type": "sched_cls.StepLR", "kwargs": {"step_size": 2, "gamma": 0.5}, "interval": "step"},
    "critic": {"type": "sched_cls.ExponentialLR", "kwargs": {"gamma": 0.7}},
}


def data() -> Batches:
    return Batches(random_batches(BATCHES, seed=1), random_batches(2, seed=5))


def train(folder: Path, stops: tuple[int, ...] = (), **more: Any) -> tuple[torch.Tensor, Notes]:
    """Train, stopped after each of `stops` and continued; return the parameters and what was logged at the end."""
    last: str | None = None
    for stop in (*stops, None):
        model, notes = Pair(), Notes()
        try:
            with StopRequest():
                fit(
                    model,
                    data(),
                    trainer=Gan(max_epochs=EPOCHS, log_every_n_steps=1),
                    optimizer=optimizers(),
                    scheduler=SCHEDULES,
                    loggers=[notes],
                    callbacks=[StopAt(stop), ModelCheckpoint(str(folder))],
                    run={"resume_from": last, "seed": 7},
                    **more,
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    return parameters_of(model), notes


def plain(seed_state: torch.Tensor) -> torch.Tensor:
    """The same in torch alone."""
    model = Pair()
    torch.set_rng_state(seed_state)
    generator, critic = model.generator, model.critic
    of_g = torch.optim.AdamW(generator.parameters(), lr=RATES["generator"], fused=True)
    of_c = torch.optim.RMSprop(critic.parameters(), lr=RATES["critic"])
    by_step = torch.optim.lr_scheduler.StepLR(of_g, 2, 0.5)
    by_epoch = torch.optim.lr_scheduler.ExponentialLR(of_c, 0.7)
    step, of_g._opt_called = 0, True
    for _ in range(EPOCHS):
        for batch in random_batches(BATCHES, seed=1):
            step += 1
            real = batch["x"]
            noise = torch.randn(real.shape)
            made = generator(noise).detach()
            mixed = torch.lerp(real, made, torch.rand(len(real), 1)).requires_grad_()
            (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
            loss = critic(made).mean() - critic(real).mean() + ((slope.norm(dim=1) - 1) ** 2).mean()
            of_c.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(critic.parameters(), 0.5)
            of_c.step()
            if step % 2 == 0:
                of_g.zero_grad()
                (-critic(generator(noise)).mean()).backward()
                of_g.step()
            by_step.step()
        by_epoch.step()
    return parameters_of(model)


def test_two_optimizers_train_as_plain_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(11)
    state = torch.get_rng_state()
    begun: list[torch.Tensor] = []

    class Seed:
        def on_fit_start(self, ctx: RunContext) -> None:
            torch.set_rng_state(state)
            begun.append(parameters_of(ctx.model))

    model = Pair()
    fit(
        model,
        Batches(random_batches(BATCHES, seed=1)),
        trainer=Gan(max_epochs=EPOCHS),
        optimizer=optimizers(),
        scheduler=SCHEDULES,
        callbacks=[Seed()],
    )
    assert torch.equal(parameters_of(model), plain(state))
    assert not torch.equal(parameters_of(model), begun[0])


@pytest.mark.parametrize("first", range(1, BATCHES * EPOCHS - 1))
def test_two_stops_at_any_steps_change_nothing(first: int, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole, notes = train(tmp_path / "whole")
    torch.manual_seed(1)
    continued, later = train(tmp_path / "cut", (first, first + 1))

    assert torch.equal(whole, continued)
    assert later.rows == [row for row in notes.rows if row in later.rows]
    assert notes.rows[-1] == later.rows[-1]


def test_rates_and_logs_go_by_the_names_of_the_optimizers(tmp_path: Path) -> None:
    _, notes = train(tmp_path)

    assert {"critic_loss", "generator_loss", "lr_generator", "lr_critic"} == set(notes.rows[0][2])
    assert notes.values("train", "lr_critic")[-1] == pytest.approx(RATES["critic"] * 0.7)
    assert {"val_loss", "val_mean"} <= set(next(row for stage, _, row in notes.rows if stage == "val"))


class Distillation(DefaultTrainer):
    def training_step(self, ctx: StepContext, batch: Any) -> LossOutput:
        outputs = ctx.forward(batch["x"])
        ctx.update_metrics(outputs, batch["y"], batch)
        plain = nn.functional.mse_loss(outputs, batch["y"])
        return LossOutput(plain + 0.5 * outputs.pow(2).mean(), logs={"plain": plain})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_returned_is_minimised_as_any_other(accumulate: int) -> None:
    """With accumulation, clipping and metrics, which see each batch once."""

    class Seen:
        batches = 0

        def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
            Seen.batches += stage == "train"

    class SameLoss:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            loss = nn.functional.mse_loss(outputs, targets["y"])
            return LossOutput(loss + 0.5 * outputs.pow(2).mean() if stage == "train" else loss)

    options = {"max_epochs": 2, "grad_accum_steps": accumulate, "grad_clip_norm": 0.5}
    own = fit(small_model(), data(), trainer=Distillation(**options), metrics=[Seen()])
    same = fit(small_model(), data(), trainer=options, loss=SameLoss())

    assert torch.equal(parameters_of(own), parameters_of(same))
    assert Seen.batches == 2 * BATCHES


class Sharpness(DefaultTrainer):
    """Sharpness-aware minimisation (Foret et al., 2021) with radius 0.05."""

    def training_step(self, ctx: StepContext, batch: Any) -> dict[str, torch.Tensor]:
        first = super().training_step(ctx, batch)
        ctx.backward(first.loss)
        parameters = [each for each in ctx.model.parameters() if each.grad is not None]
        norm = torch.stack([each.grad.norm() for each in parameters]).norm()
        climbed = [0.05 * each.grad / (norm + 1e-12) for each in parameters]
        with torch.no_grad():
            torch._foreach_add_(parameters, climbed)
        ctx.zero_grad()
        ctx.backward(super().training_step(ctx, batch).loss)
        with torch.no_grad():
            torch._foreach_sub_(parameters, climbed)
        ctx.step()
        return {"loss": first.loss}


def test_sharpness_aware_steps_are_those_of_plain_torch() -> None:
    own = fit(small_model(), data(), trainer=Sharpness(max_epochs=2))

    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, fused=True)
    for batch in random_batches(BATCHES, seed=1) * 2:
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        norm = torch.stack([each.grad.norm() for each in model.parameters()]).norm()
        climbed = [0.05 * each.grad / (norm + 1e-12) for each in model.parameters()]
        with torch.no_grad():
            for each, way in zip(model.parameters(), climbed, strict=True):
                each.add_(way)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        with torch.no_grad():
            for each, way in zip(model.parameters(), climbed, strict=True):
                each.sub_(way)
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(parameters_of(own), parameters_of(model))


def test_several_optimizers_of_one_loss_step_together_each_at_its_turn() -> None:
    """As Muon beside AdamW does: `parameters` divides a model that has no parts of these names."""
    model = small_model()
    both = {
        "matrices": {"type": "optim_cls.SGD", "kwargs": {"lr": 0.05}, "parameters": ["*.weight"]},
        "rest": {"type": "optim_cls.AdamW", "kwargs": {"lr": 0.01}, "parameters": "*.bias", "every_n_steps": 3},
    }
    fit(model, data(), trainer={"max_epochs": 2, "grad_clip_norm": 0.2}, optimizer=both)

    other = small_model()
    weights, biases = ([p for n, p in other.named_parameters() if n.endswith(end)] for end in ("weight", "bias"))
    sgd, adam = torch.optim.SGD(weights, lr=0.05, fused=True), torch.optim.AdamW(biases, lr=0.01, fused=True)
    for step, batch in enumerate(random_batches(BATCHES, seed=1) * 2, 1):
        other.zero_grad()
        nn.functional.mse_loss(other(batch["x"]), batch["y"]).backward()
        nn.utils.clip_grad_norm_(weights, 0.2)
        sgd.step()
        if step % 3 == 0:
            nn.utils.clip_grad_norm_(biases, 0.2)
            adam.step()
    assert torch.equal(parameters_of(model), parameters_of(other))


class Late(Gan):
    """The critic takes its first step after the third one of the generator."""

    def training_step(self, ctx: StepContext, batch: Any) -> None:
        ctx.backward(ctx.forward(batch["x"]).mean())
        if ctx.state.global_step >= 3:
            ctx.step("critic")
        ctx.step("generator")


@pytest.mark.filterwarnings("error")
def test_an_optimizer_that_begins_late_has_the_rates_of_the_runs_steps(tmp_path: Path) -> None:
    """Public reports: torch warned of a scheduler before its optimizer, and advised to change their order."""
    notes = Notes()
    by_step = {"critic": {"type": "sched_cls.StepLR", "kwargs": {"step_size": 2, "gamma": 0.5}, "interval": "step"}}
    trainer = Late(max_epochs=1, log_every_n_steps=1)
    fit(Pair(), data(), trainer=trainer, optimizer=optimizers(), scheduler=by_step, loggers=[notes])
    assert notes.values("train", "lr_critic") == [0.03, 0.03, 0.015, 0.015]


def test_half_precision_scales_the_losses_of_both_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "check_device", lambda *_: None)  # which refuses it on a CPU, where it is slow
    model = Pair()
    before = parameters_of(model)
    fit(model, data(), trainer=Gan(max_epochs=1), optimizer=optimizers(), run={"precision": "fp16-mixed"})

    assert parameters_of(model).isfinite().all()
    assert not torch.equal(parameters_of(model), before)


class Overflows(DefaultTrainer):
    """Steps its optimizer twice within a step, as critics are; the loss of the second batch overflows once."""

    def training_step(self, ctx: StepContext, batch: Any) -> None:
        for _ in range(2):
            loss = nn.functional.mse_loss(ctx.forward(batch["x"]).float(), batch["y"])
            ctx.backward(loss * (1e38 if ctx.state.global_step == 1 else 1.0))
            ctx.step()


def test_a_step_that_overflowed_in_half_precision_leaves_out_the_turn_of_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accelerator, "check_device", lambda *_: None)
    rates, scales = [0.08], [2.0**16]  # as torch's scaler begins

    class Rates:
        def on_train_step_end(self, ctx: RunContext) -> None:
            rates.append(ctx.optimizer.param_groups[0]["lr"])
            scales.append(ctx.scaler.get_scale())

    halving = {"type": "sched_cls.ExponentialLR", "kwargs": {"gamma": 0.5}, "interval": "step"}
    options = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.08}}
    run = {"precision": "fp16-mixed"}
    fit(small_model(), data(), trainer=Overflows(), optimizer=options, scheduler=halving, callbacks=[Rates()], run=run)

    left_out = [after < before for before, after in pairwise(scales)]
    assert set(left_out) == {True, False}
    assert [after == before for before, after in pairwise(rates)] == left_out


class StepsInValidation(Gan):
    def validation_step(self, ctx: StepContext, batch: Any) -> Any:
        ctx.step("critic")


def test_validation_steps_no_optimizer() -> None:
    with pytest.raises(RuntimeError, match="steps no optimizer"):
        fit(Pair(), data(), trainer=StepsInValidation(max_epochs=1), optimizer=optimizers())


class Returns(DefaultTrainer):
    def training_step(self, ctx: StepContext, batch: Any) -> Any:
        return {"loss": 1.0}


class Steps(DefaultTrainer):
    def training_step(self, ctx: StepContext, batch: Any) -> Any:
        ctx.backward(super().training_step(ctx, batch).loss)
        ctx.step()


class Misspells(DefaultTrainer):
    def training_step(self, ctx: StepContext, batch: Any) -> Any:
        ctx.step("critc")


class Diverges(DefaultTrainer):
    def training_step(self, ctx: StepContext, batch: Any) -> Any:
        ctx.backward(super().training_step(ctx, batch).loss * float("nan"))


@pytest.mark.parametrize(
    ("trainer", "title", "said"),
    [
        (Returns(), "not a loss", "`training_step` returned a dict, and stepped no optimizer"),
        (Steps(grad_accum_steps=2), "nothing to accumulate", "steps the optimizers itself"),
        (Misspells(), "unknown optimizer", "There is no optimizer `critc`"),
        (Diverges(), "loss is not finite", "The loss of step 1 is nan"),
    ],
)
def test_what_a_step_gets_wrong_is_told_at_its_place(trainer: DefaultTrainer, title: str, said: str) -> None:
    both = trainer.__class__ is Misspells
    with pytest.raises(ConfigError) as caught:
        fit(Pair() if both else small_model(), data(), trainer=trainer, optimizer=optimizers() if both else None)

    (finding,) = caught.value.findings
    assert finding.title == title
    assert said in finding.message
    assert list(caught.value.suggestions) == (["critic"] if both else [])


def test_one_parameter_of_two_optimizers_is_refused() -> None:
    both = optimizers(all={"type": "optim_cls.SGD", "kwargs": {"lr": 1.0}})
    with pytest.raises(ConfigError, match=r"`generator` and `all` both train `generator.0.weight`") as caught:
        fit(Pair(), data(), optimizer=both)

    assert caught.value.config_path == ("optimizer", "all")


def test_mistakes_in_one_of_several_are_told_at_its_name() -> None:
    both = optimizers(critic={"type": "optim_cls.AdamW", "parameters": ["critc.*"]})
    with pytest.raises(ConfigError, match="`critc") as caught:
        fit(Pair(), data(), optimizer=both)

    assert caught.value.config_path == ("optimizer", "critic", "parameters", 0)


class FailsHalfway(Gan):
    """Raises between the steps of the two optimizers, in the third step."""

    def training_step(self, ctx: StepContext, batch: Any) -> dict[str, torch.Tensor]:
        if ctx.state.global_step == 2:
            ctx.backward(ctx.models["critic"](batch["x"]).mean())
            ctx.step("critic")
            raise RuntimeError("halfway")
        return super().training_step(ctx, batch)


def test_a_step_that_fails_between_two_optimizers_leaves_the_checkpoint_of_the_step_before(tmp_path: Path) -> None:
    """No state of half a step is ever saved, and what goes on from there is what would have been."""

    def go(trainer: DefaultTrainer, folder: Path, **run: Any) -> torch.Tensor:
        torch.manual_seed(1)
        model, every = Pair(), ModelCheckpoint(str(folder), every_n_steps=1)
        fit(model, data(), trainer=trainer, optimizer=optimizers(), callbacks=[every], run={"seed": 7, **run})
        return parameters_of(model)

    whole = go(Gan(max_epochs=EPOCHS), tmp_path / "whole")
    with pytest.raises(RuntimeError, match="halfway"):
        go(FailsHalfway(max_epochs=EPOCHS), tmp_path / "cut")
    saved = load_checkpoint(tmp_path / "cut/last.pt")

    assert saved["train_state"]["global_step"] == 2
    continued = go(Gan(max_epochs=EPOCHS), tmp_path / "cut", resume_from=str(tmp_path / "cut/last.pt"))
    assert torch.equal(continued, whole)


def test_frozen_parameters_stay_frozen_where_only_one_optimizer_is_trained() -> None:
    seen: list[bool] = []

    class Looks(Gan):
        def training_step(self, ctx: StepContext, batch: Any) -> dict[str, torch.Tensor]:
            with ctx.only("generator"):
                seen.append(any(each.requires_grad for each in ctx.models["critic"].parameters()))
            seen.append(ctx.models["critic"][0].weight.requires_grad)
            return super().training_step(ctx, batch)

    model = Pair()
    before = model.critic[0].weight.detach().clone()
    freeze = [{"match": "critic.0.weight", "until_step": 2}]
    fit(model, data(), trainer=Looks(max_epochs=1, freeze=freeze), optimizer=optimizers())

    assert seen == [False, False, False, False, False, True, False, True]
    assert not torch.equal(before, model.critic[0].weight)


def test_the_order_in_which_optimizers_are_named_does_not_matter_to_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fit(Pair(), data(), trainer=Gan(max_epochs=1), optimizer=optimizers(), callbacks=[ModelCheckpoint(str(folder))])
    plain = optimizers()
    turned = {name: plain[name] for name in reversed(plain)}
    ends = [
        parameters_of(
            fit(
                Pair(),
                data(),
                trainer=Gan(max_epochs=2),
                optimizer=named,
                run={"resume_from": str(folder / "last.pt")},
            )
        )
        for named in (plain, turned)
    ]

    assert torch.equal(*ends)


class Crowded(torch.optim.SGD):
    """A plugin's optimizer whose attributes have names that several optimizers have, too."""

    members, due, clips, every = ("a", "b"), False, {"": 1e-9}, {}


def test_an_optimizer_with_any_attributes_is_one_optimizer() -> None:
    class Factory:
        def build(self, model: nn.Module, *, registry: Any) -> Any:
            return Crowded(model.parameters(), lr=0.05)

    options = {"max_epochs": 1, "grad_clip_norm": 0.5}
    own = fit(small_model(), data(), trainer=options, optimizer=Factory())
    plain = fit(
        small_model(),
        data(),
        trainer=options,
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.05, "fused": False}},
    )

    assert torch.equal(parameters_of(own), parameters_of(plain))


class Scaled(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(nn.functional.mse_loss(outputs * self.scale, targets["y"]))


def two_with_the_loss() -> dict[str, Any]:
    sgd = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.05}}
    return {"generator": {**sgd, "trains_loss": True}, "critic": {**sgd, "kwargs": {"lr": 0.01}}}


def train_the_loss(folder: Path, stops: tuple[int, ...] = ()) -> tuple[torch.Tensor, torch.Tensor]:
    last = None
    for stop in (*stops, None):
        model, loss = Pair(), Scaled()
        try:
            with StopRequest():
                fit(
                    model,
                    data(),
                    trainer={"max_epochs": EPOCHS},
                    optimizer=two_with_the_loss(),
                    loss=loss,
                    callbacks=[StopAt(stop), ModelCheckpoint(str(folder))],
                    run={"resume_from": last, "seed": 7},
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    return parameters_of(model), loss.scale.detach()


def test_one_of_several_optimizers_trains_the_loss_and_goes_on_exactly(tmp_path: Path) -> None:
    weights, scale = train_the_loss(tmp_path / "whole")
    continued = train_the_loss(tmp_path / "cut", (2, 5))

    assert scale != 1.0
    assert torch.equal(weights, continued[0])
    assert torch.equal(scale, continued[1])


def test_the_loss_of_several_optimizers_is_trained_by_one(tmp_path: Path) -> None:
    both = {name: {**each, "trains_loss": True} for name, each in two_with_the_loss().items()}
    with pytest.raises(ConfigError, match="both train the loss") as caught:
        fit(Pair(), data(), trainer={"max_epochs": 1}, optimizer=both, loss=Scaled())
    assert caught.value.config_path == ("optimizer", "critic", "trains_loss")
