"""Where training stands, that it was to stop, and which modules are in which mode, come back with a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.file_format import write_container
from otrainer.engine.checkpoint.flags import changed_flags, flags_of, set_flags
from otrainer.engine.state import RunContext, TrainState


class StopAfterOne:
    def on_epoch_end(self, ctx: RunContext) -> None:
        ctx.should_stop = True


def train(folder: Path, *callbacks: Any, model: torch.nn.Module | None = None, **run: Any) -> None:
    fit(
        model or small_model(),
        Batches(random_batches(3)),
        trainer={"max_epochs": 3},
        callbacks=[*callbacks, ModelCheckpoint(str(folder))],
        run=run,
    )


def epochs_of(path: Path) -> int:
    return int(load_checkpoint(path)["train_state"]["epoch"]) + 1


@pytest.mark.parametrize(("definition", "epochs"), [("a", 1), ("b", 2)])
def test_a_run_that_stopped_early_stays_stopped_but_under_another_definition(
    tmp_path: Path, definition: str, epochs: int
) -> None:
    train(tmp_path, StopAfterOne(), definition="a")
    last = tmp_path / "last.pt"
    assert load_checkpoint(last)["train_state"]["should_stop"] is True

    train(tmp_path, StopAfterOne(), resume_from=str(last), definition=definition)
    assert epochs_of(last) == epochs


def test_a_file_that_calls_it_progress_and_has_no_flags_is_read(tmp_path: Path) -> None:
    train(tmp_path, StopAfterOne())
    parts = load_checkpoint(tmp_path / "last.pt")
    now = parts.pop("train_state")
    del parts["flags"], now["should_stop"]
    parts["meta"] = {"format": 2, "torch": "", "built": parts["meta"]["built"]}
    with (tmp_path / "old.pt").open("wb+") as stream:
        write_container(stream, {**parts, "progress": now})

    assert load_checkpoint(tmp_path / "old.pt")["train_state"] == now
    train(tmp_path, StopAfterOne(), resume_from=str(tmp_path / "old.pt"))
    assert epochs_of(tmp_path / "last.pt") == 2


def test_a_state_without_a_field_takes_the_default() -> None:
    state = TrainState(epoch=4, should_stop=True)
    state.load_state_dict({"epoch": 1, "global_step": 2, "micro_step_in_epoch": 2, "epoch_complete": True})

    assert state == TrainState(1, 2, 2, epoch_complete=True, should_stop=False)


class Freeze:
    """Puts a layer into eval mode and freezes another one, at the end of the first epoch only."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, bool]] = []

    def on_fit_start(self, ctx: RunContext) -> None:
        self.seen.append(self.flags(ctx))

    def on_epoch_end(self, ctx: RunContext) -> None:
        ctx.model.get_submodule("1").eval()
        ctx.model.get_parameter("0.bias").requires_grad_(False)
        ctx.should_stop = True

    def flags(self, ctx: RunContext) -> tuple[bool, bool]:
        return ctx.model.get_submodule("1").training, ctx.model.get_parameter("0.bias").requires_grad

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_modes_and_frozen_parameters_are_back_before_the_first_hook(tmp_path: Path) -> None:
    first, second = Freeze(), Freeze()
    train(tmp_path, first)
    train(tmp_path, second, resume_from=str(tmp_path / "last.pt"))

    assert (first.seen, second.seen) == ([(True, True)], [(False, False)])


def test_only_what_changed_since_it_was_built_is_state() -> None:
    """So that a config which builds a part in another mode has its way on a resume."""
    built, other = small_model(), small_model()
    before = flags_of(built)
    built[0].eval()  # type: ignore[operator]  # it is a Sequential
    changes = changed_flags(flags_of(built), before)
    other[2].eval()  # type: ignore[operator]
    set_flags(other, changes)

    assert changes == {"training": {"0": False}, "requires_grad": {}}
    assert [module.training for module in other.modules()] == [True, False, True, False]


def test_flags_of_modules_that_a_loss_holds_in_lists_and_mappings_are_its_own() -> None:
    class Terms:
        def __init__(self) -> None:
            self.terms: dict[str, Any] = {"a": [torch.nn.Linear(1, 1)]}
            self.terms["b"] = [None, torch.nn.Dropout()]

    loss = Terms()
    loss.terms["b"][1].eval()

    assert flags_of(loss) == {
        "training": {"terms.a.0": True, "terms.b.1": False},
        "requires_grad": {"terms.a.0.weight": True, "terms.a.0.bias": True},
    }
