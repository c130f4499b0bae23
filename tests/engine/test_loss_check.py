"""A loss that is not finite stops the run before it spoils anything, and says which batch it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.loss_check import LossWatch
from otrainer.engine.state import TrainState
from otrainer.errors import ConfigError


def with_wrong_batch(number: int, wrong: float) -> list[dict[str, torch.Tensor]]:
    batches = random_batches(6)
    batches[number]["y"][0] = wrong
    return batches


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_stops_within_the_step_and_its_parameters_and_checkpoint_stay(
    tmp_path: Path, wrong: float, accumulate: int
) -> None:
    model, expected = small_model(), small_model()
    fit(expected, Batches(random_batches(6)[: 5 // accumulate * accumulate]), trainer={"grad_accum_steps": accumulate})
    with pytest.raises(ConfigError) as error:
        fit(
            model,
            Batches(with_wrong_batch(5, wrong)),
            trainer={"grad_accum_steps": accumulate, "log_every_n_steps": 100},
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=4 // accumulate)],
        )

    step = 6 // accumulate
    assert f"The loss of step {step} is {wrong}: batch 5 of epoch 0" in str(error.value)
    assert error.value.findings[0].title == "loss is not finite"
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved["train_state"]["global_step"] == 5 // accumulate
    kept = torch.cat([part.reshape(-1) for part in saved["model"].values()])
    assert torch.equal(kept, parameters_of(expected))
    assert torch.isfinite(parameters_of(model)).all()


def test_on_a_device_it_is_told_at_the_next_look_without_one_in_between() -> None:
    state = TrainState()
    watch = LossWatch(SimpleNamespace(state=state), torch.device("meta"))  # any but the CPU
    for value in (1.0, float("nan"), 2.0, float("inf")):
        read = watch.read(torch.tensor(value, requires_grad=True))
        assert isinstance(read, torch.Tensor)
        watch.see(read, 0)
        state.global_step += 1
        state.micro_step_in_epoch += 1
    with pytest.raises(ConfigError, match="The loss of step 2 is nan: batch 1 of epoch 0"):
        watch.look()
    watch.look()


def test_a_validation_loss_may_be_anything() -> None:
    notes, val = Notes(), random_batches(1)
    val[0]["y"][0] = float("inf")
    fit(small_model(), Batches(random_batches(2), val), loggers=[notes])

    assert notes.values("val", "val_loss") == [float("inf")]


def test_parameters_that_one_step_spoils_are_never_saved(tmp_path: Path) -> None:
    """The loss was finite, and the step overflows: the checkpoint from before stays, and the run says so."""

    class Spoil:
        def on_train_step_end(self, ctx: Any) -> None:
            if ctx.state.global_step == 3:
                with torch.no_grad():
                    next(iter(ctx.model.parameters()))[0] = float("inf")

    with pytest.raises(ConfigError, match=r"After step 3, `0.weight` of the model is not finite"):
        fit(
            small_model(),
            Batches(random_batches(3)),
            callbacks=[Spoil(), ModelCheckpoint(str(tmp_path), every_n_steps=1)],
        )

    assert load_checkpoint(tmp_path / "last.pt")["train_state"]["global_step"] == 2


@pytest.mark.parametrize(("reduction", "nearest"), [("SUM", "`sum`"), ("none", ""), ("batchmean", "`mean`")])
def test_a_reduction_that_there_is_not_is_refused_with_the_nearest(reduction: Any, nearest: str) -> None:
    def loss(*, outputs: torch.Tensor, **_: Any) -> LossOutput:
        return LossOutput(outputs.mean(), reduction=reduction)

    with pytest.raises(ConfigError, match="`reduction` is") as error:
        fit(small_model(), Batches(random_batches(1)), loss=loss)

    assert nearest in str(error.value)


@pytest.mark.parametrize("validates", [True, False])
def test_a_loss_of_complex_numbers_is_refused_in_plain_words(validates: bool) -> None:
    def loss(*, outputs: torch.Tensor, **_: Any) -> LossOutput:
        return LossOutput(outputs.mean() * (1 + 0j))

    with pytest.raises(ConfigError, match="`loss` of complex numbers"):
        fit(small_model(), Batches(random_batches(1), random_batches(1) if validates else None), loss=loss)
