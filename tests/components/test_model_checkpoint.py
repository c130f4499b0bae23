"""When checkpoints are written, under which names, and what they say."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loggers import JsonLinesLogger
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.writer import Saved, Writer
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError


class Raise:
    """A callback in which an error comes after a given step, once all is counted."""

    def __init__(self, error: BaseException, step: int) -> None:
        self.error, self.step = error, step

    def on_train_step_end(self, ctx: RunContext) -> None:
        if ctx.state.global_step == self.step:
            raise self.error


def step_of(path: Path) -> int:
    return sorted_progress(path)["global_step"]


def sorted_progress(path: Path) -> dict[str, Any]:
    parts = load_checkpoint(path)
    return parts["train_state"] if "train_state" in parts else parts["progress"]


ERRORS = [
    ValueError("a bad sample"),
    MemoryError(),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somebody/else"),
    ConfigError("a component's own"),
    RuntimeError("CUDA error: out of memory"),
    SystemExit(3),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_leaves_the_last_whole_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path)), Raise(error, 7)],
        )

    assert step_of(tmp_path / "last.pt") == 7
    (said,) = [text for text in caplog.messages if text.startswith("checkpoint of")]
    assert said.startswith("checkpoint of step 7, the last whole one before the error, saved: ")
    assert "`doit resume`" in said


def test_a_second_ctrl_c_leaves_what_was_saved_before(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=5), Raise(KeyboardInterrupt(), 7)],
        )

    assert step_of(tmp_path / "last.pt") == 5


def test_an_error_within_the_optimizer_s_step_leaves_what_was_saved_before(tmp_path: Path) -> None:
    class Break:
        def on_train_step_end(self, ctx: RunContext) -> None:
            if ctx.state.global_step == 6:
                ctx.optimizer.register_step_post_hook(self.fail)

        def fail(self, *_: Any) -> None:
            raise ValueError("half of the parameters are stepped")

    with pytest.raises(ValueError, match="half"):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=5), Break()],
        )

    assert step_of(tmp_path / "last.pt") == 5


def test_a_run_that_fails_before_its_first_step_saves_nothing(tmp_path: Path) -> None:
    class Early:
        def on_fit_start(self, ctx: RunContext) -> None:
            ctx.at_boundary = True
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fit(small_model(), Batches(random_batches(2)), callbacks=[ModelCheckpoint(str(tmp_path)), Early()])

    assert list(tmp_path.iterdir()) == []


def test_a_save_that_failed_is_not_tried_again_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        tries.append(1)
        raise ConfigError("no room", title="checkpoint not saved")

    tries: list[int] = []
    monkeypatch.setattr("otrainer.engine.checkpoint.writer.write_checkpoint", full)
    with pytest.raises(ConfigError, match="no room"):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=2)],
        )

    assert (len(tries), caplog.messages) == (1, [])


def test_an_epochs_steps_are_on_the_disk_before_validation(tmp_path: Path) -> None:
    class Val:
        """Validation data that look at what is saved when they are asked for."""

        def __iter__(self) -> Any:
            if contexts[0].state.global_step > 0:  # else it is tried before the first step
                saves._saving.settle(contexts[0])
                seen.append(sorted_progress(tmp_path / "last.pt"))
            return iter(random_batches(1))

    class Keep:
        def on_fit_start(self, ctx: RunContext) -> None:
            contexts.append(ctx)

    contexts: list[RunContext] = []
    seen: list[dict[str, Any]] = []
    saves = ModelCheckpoint(str(tmp_path))
    fit(
        small_model(),
        Batches(random_batches(4), Val()),
        trainer={"max_epochs": 2},
        callbacks=[Keep(), saves],
    )

    assert [(each["global_step"], each["epoch_complete"]) for each in seen] == [(4, False), (8, False)]
    assert sorted_progress(tmp_path / "last.pt")["epoch_complete"] is True


@pytest.mark.parametrize("every", [None, 4, 3])
def test_a_signal_in_validation_saves_no_second_time_what_the_epochs_end_saved(
    tmp_path: Path, every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otrainer.engine.checkpoint import writer

    def count(state: Any, paths: Any, *rest: Any) -> None:
        written.append(state["rng"] is not None)
        write(state, paths, *rest)

    class Val:
        def __iter__(self) -> Any:
            if tried:  # before the first step
                os.kill(os.getpid(), signal.SIGTERM)
            tried.append(True)
            return iter(random_batches(2))

    tried: list[bool] = []
    written: list[bool] = []
    write = writer.write_checkpoint
    monkeypatch.setattr(writer, "write_checkpoint", count)
    with StopRequest(), pytest.raises(TrainingInterrupted):
        fit(
            small_model(),
            Batches(random_batches(4), Val()),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=every)],
        )

    assert len(written) == {None: 1, 4: 2, 3: 2}[every]
    assert step_of(tmp_path / "last.pt") == 4


class Values:
    """A metric whose values are given, epoch by epoch."""

    def __init__(self, **values: list[float]) -> None:
        self.values, self.epoch = values, 0

    def compute(self) -> dict[str, float]:
        self.epoch += 1
        return {name: given[self.epoch - 1] for name, given in self.values.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]


def trained(*callbacks: Any, epochs: int = 4, metric: Values | None = None, **run: Any) -> list[str]:
    """Four steps an epoch; returns what lies in the folder of the first callback."""
    fit(
        small_model(),
        Batches(random_batches(4), random_batches(1)),
        trainer={"max_epochs": epochs},
        metrics=[metric] if metric else [],
        callbacks=callbacks,
        run=run,
    )
    return sorted(path.name for path in callbacks[0].save_dir.iterdir())


def test_two_in_one_folder_keep_a_best_each_and_their_own_steps(tmp_path: Path) -> None:
    metric = Values(val_down=[3.0, 1.0, 2.0, 4.0], val_up=[1.0, 2.0, 4.0, 3.0])
    found = trained(
        ModelCheckpoint(str(tmp_path), monitor="val_down", every_n_steps=4, keep_last=1),
        ModelCheckpoint(str(tmp_path), monitor="val_up", mode="max", every_n_steps=6, keep_last=2),
        metric=metric,
    )

    assert found == ["best-val_up.pt", "best.pt", "last.pt", "previous.pt", "step_12.pt", "step_16.pt", "step_6.pt"]
    assert [step_of(tmp_path / name) for name in found[:3]] == [12, 8, 16]
    kept = [part["state"]["state_dict"] for part in load_checkpoint(tmp_path / "last.pt")["callbacks"]]
    assert [(state["best"], state["step"], state["steps"]) for state in kept] == [(1.0, 8, [16]), (4.0, 12, [6, 12])]


def test_what_several_would_write_at_once_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from otrainer.engine.checkpoint import writer

    def count(state: Any, paths: Any, *rest: Any) -> None:
        written.append([path.name for path in paths])
        write(state, paths, *rest)

    written: list[list[str]] = []
    write = writer.write_checkpoint
    monkeypatch.setattr(writer, "write_checkpoint", count)
    trained(
        ModelCheckpoint(str(tmp_path), monitor="val_loss", every_n_steps=4),
        ModelCheckpoint(str(tmp_path), monitor="val_loss", mode="max", every_n_epochs=1),
        ModelCheckpoint(str(tmp_path), monitor="val_loss"),
        epochs=1,
    )

    both = ["step_4.pt", "best.pt", "best-val_loss.pt", "best-val_loss-min.pt", "last.pt"]
    assert [sorted(names) for names in written] == [["last.pt", "step_4.pt"], ["last.pt"], sorted(both), ["last.pt"]]


@pytest.mark.parametrize("name", ["val/acc", "val_acc (top 5)"])
def test_a_monitor_of_any_name_makes_the_name_of_a_file(tmp_path: Path, name: str) -> None:
    metric = Values(**{name: [1.0]})
    found = trained(
        ModelCheckpoint(str(tmp_path), monitor="val_loss"),
        ModelCheckpoint(str(tmp_path), monitor=name),
        epochs=1,
        metric=metric,
    )

    assert found[0] in ("best-val_acc.pt", "best-val_acc_top_5_.pt")


def test_the_newest_five_steps_stay_by_default_and_all_where_that_is_said(tmp_path: Path) -> None:
    few, every = tmp_path / "few", tmp_path / "every"
    trained(ModelCheckpoint(str(few), every_n_steps=2), ModelCheckpoint(str(every), every_n_steps=2, keep_last=None))

    assert sorted(few.glob("step_*.pt")) == [few / f"step_{step}.pt" for step in (10, 12, 14, 16, 8)]
    assert len(list(every.glob("step_*.pt"))) == 8


def test_a_step_that_the_config_goes_on_from_is_not_removed(tmp_path: Path) -> None:
    trained(ModelCheckpoint(str(tmp_path), every_n_steps=2), epochs=1)
    found = trained(ModelCheckpoint(str(tmp_path), every_n_steps=2), resume_from=str(tmp_path / "step_2.pt"))

    kept = [name for name in found if name.startswith("step")]
    assert kept == [*(f"step_{step}.pt" for step in (10, 12, 14, 16)), "step_2.pt", "step_8.pt"]


def test_without_a_last_checkpoint_the_end_is_one_by_its_step(tmp_path: Path) -> None:
    found = trained(ModelCheckpoint(str(tmp_path), save_last=False, every_n_steps=3), epochs=2)

    assert found == ["step_3.pt", "step_6.pt", "step_8.pt"]
    assert sorted_progress(tmp_path / "step_8.pt")["epoch_complete"] is True


def test_an_error_without_a_last_checkpoint_leaves_its_step(tmp_path: Path) -> None:
    callbacks = [ModelCheckpoint(str(tmp_path), save_last=False, monitor="val_loss"), Raise(ValueError("no"), 7)]
    with pytest.raises(ValueError, match="no"):
        trained(*callbacks)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step_7.pt"]


class RaiseAtEpochEnd:
    """Fails at an epoch's end, when nothing can be put back any more."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, ctx: Any) -> None:
        if ctx.state.epoch == self.epoch:
            raise ValueError("no")


@pytest.mark.parametrize("background", [True, False])
def test_what_fails_at_an_epochs_end_loses_no_step_of_it_without_a_last_checkpoint_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, background: bool
) -> None:
    saves = ModelCheckpoint(str(tmp_path), save_last=False, monitor="val_loss", background=background)
    with pytest.raises(ValueError, match="no"):
        trained(saves, RaiseAtEpochEnd(1), epochs=3)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step_8.pt"]
    assert sorted_progress(tmp_path / "step_8.pt")["epoch_trained"] is True
    assert not [text for text in caplog.messages if "lost" in text]


def test_a_step_that_may_go_stays_until_a_newer_one_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error right after the first epoch's end, and a disk that is full by then."""
    saves = ModelCheckpoint(str(tmp_path), save_last=False, every_n_epochs=3, background=False)
    write = Writer.save

    def full(self: Writer, state: Any, saved: Saved) -> None:
        if saved.step > 4:
            raise ConfigError("There is no room.", title="checkpoint not saved")
        write(self, state, saved)

    monkeypatch.setattr(Writer, "save", full)
    with pytest.raises(ValueError, match="no"):
        trained(saves, Raise(ValueError("no"), 5), epochs=3)

    assert [path.name for path in tmp_path.iterdir()] == ["step_4.pt"]


@pytest.mark.parametrize("background", [True, False])
def test_what_was_kept_for_an_epochs_end_alone_is_gone_after_it(tmp_path: Path, background: bool) -> None:
    metric = Values(val_a=[1.0, 2.0, 3.0])
    saves = ModelCheckpoint(str(tmp_path), save_last=False, monitor="val_a", background=background)
    found = trained(saves, epochs=3, metric=metric)

    assert [name for name in found if name != "best.pt"] == []
    assert step_of(tmp_path / "best.pt") == 4


def test_a_step_that_is_kept_anyway_stays(tmp_path: Path) -> None:
    found = trained(ModelCheckpoint(str(tmp_path), save_last=False, every_n_epochs=2), epochs=4)

    assert found == ["step_16.pt", "step_8.pt"]


def test_another_monitor_looks_for_its_best_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metric = Values(val_a=[1.0, 2.0], val_b=[5.0, 6.0])
    trained(ModelCheckpoint(str(tmp_path), monitor="val_a"), epochs=1, metric=metric)
    saves = ModelCheckpoint(str(tmp_path), monitor="val_b")
    trained(saves, epochs=2, metric=metric, resume_from=str(tmp_path / "last.pt"))

    assert (saves.best, step_of(tmp_path / "best.pt")) == (6.0, 8)


def test_a_best_checkpoint_that_is_gone_is_told_and_looked_for_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metric = Values(val_a=[1.0, 2.0])
    trained(ModelCheckpoint(str(tmp_path), monitor="val_a"), epochs=1, metric=metric)
    (tmp_path / "best.pt").unlink()
    saves = ModelCheckpoint(str(tmp_path), monitor="val_a")
    trained(saves, epochs=2, metric=metric, resume_from=str(tmp_path / "last.pt"))

    assert (saves.best, step_of(tmp_path / "best.pt")) == (2.0, 8)
    assert any("the best checkpoint so far (val_a 1) is gone" in text for text in caplog.messages)


class RaiseOnce:
    """A callback, metric and logger that fails once, at a place of a training of three epochs of four steps."""

    def __init__(self, place: str) -> None:
        self.place, self.seen = place, dict.fromkeys(("step", "train end", "epoch end", "compute", "row"), 0)

    def _at(self, place: str, count: int) -> None:
        self.seen[place] += 1
        if self.place == place and self.seen[place] == count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def on_train_step_end(self, ctx: RunContext) -> None:
        self._at("step", 7)

    def on_train_epoch_end(self, ctx: RunContext) -> None:
        self._at("train end", 2)

    def on_epoch_end(self, ctx: RunContext) -> None:
        self._at("epoch end", 2)

    def compute(self) -> dict[str, float]:
        self._at("compute", 2)
        return {}

    def log_metrics(self, metrics: Any, *, step: int, stage: str) -> None:
        self._at("row", 7)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize("place", ["step", "train end", "epoch end", "compute", "row"])
def test_wherever_it_fails_the_run_ends_as_if_it_had_not_and_each_row_stands_once(tmp_path: Path, place: str) -> None:
    def stretch(folder: Path, place: str, **run: Any) -> torch.Tensor:
        fails = RaiseOnce(place)
        model = fit(
            small_model(),
            Batches(random_batches(4), random_batches(1)),
            trainer={"max_epochs": 3, "log_every_n_steps": 1},
            metrics=[fails],
            callbacks=[fails, ModelCheckpoint(str(folder))],
            loggers=[JsonLinesLogger(str(folder / "rows.jsonl")), fails],
            run={"seed": 3, **run},
        )
        return parameters_of(model)

    whole = stretch(tmp_path / "whole", "nowhere")
    with pytest.raises(OSError, match="No space left"):
        stretch(tmp_path / "broken", place)
    left = step_of(tmp_path / "broken/last.pt")
    again = stretch(tmp_path / "broken", "nowhere", resume_from=str(tmp_path / "broken/last.pt"))

    assert left in {"step": (6, 7), "row": (6, 7)}.get(place, (8,))
    assert torch.equal(again, whole)
    assert (tmp_path / "broken/rows.jsonl").read_text() == (tmp_path / "whole/rows.jsonl").read_text()


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (3, "the steps after step 0 (checkpoint: None) are lost: nothing is saved now"),
        (5, None),
        (6, "the steps after step 4 (checkpoint: FOLDER/step_4.pt) are lost: nothing is saved now"),
    ],
)
def test_steps_that_no_checkpoint_has_are_told_where_the_optimizer_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int, told: str | None
) -> None:
    class Failing(torch.optim.SGD):
        calls = 0

        def step(self, closure: Any = None) -> Any:
            self.calls += 1
            if self.calls == at:
                raise RuntimeError("out of memory")
            return super().step(closure)

    class Factory:
        def build(self, model: torch.nn.Module, *, registry: Any) -> torch.optim.Optimizer:
            return Failing(model.parameters(), lr=0.05)

    callback = ModelCheckpoint(str(tmp_path), save_last=False, every_n_steps=4)
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(small_model(), Batches(random_batches(9)), optimizer=Factory(), callbacks=[callback])

    lost = [text for text in caplog.messages if "lost" in text]
    assert len(lost) == (told is not None)
    assert told is None or lost[0].startswith(told.replace("FOLDER", str(tmp_path)))


def test_without_last_the_end_has_a_step_of_its_own_beside_the_best(tmp_path: Path) -> None:
    """The last validation is the best one here."""
    callback = ModelCheckpoint(str(tmp_path), save_last=False, every_n_steps=4, monitor="val_loss")
    data = Batches(random_batches(3), random_batches(3))
    fit(small_model(), data, trainer={"max_epochs": 2}, callbacks=[callback])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step_4.pt", "step_6.pt"]
    assert sorted_progress(tmp_path / "best.pt") == sorted_progress(tmp_path / "step_6.pt")


def test_a_trained_epoch_is_saved_where_a_metric_cannot_compute(tmp_path: Path) -> None:
    """Also without `last.pt`, and with the metrics as they were before validation."""

    class Count:
        fails = False

        def __init__(self) -> None:
            self.seen = 0

        def update(self, **_: Any) -> None:
            self.seen += 1

        def compute(self) -> dict[str, float]:
            if self.seen > 2 and Count.fails:
                self.seen = -1
                raise RuntimeError("compute")
            return {"seen": float(self.seen)}

        def reset(self) -> None:
            self.seen = 0

    def train(folder: Path, **run: Any) -> tuple[list[Any], torch.Tensor]:
        callback = ModelCheckpoint(str(folder), save_last=False, every_n_steps=50)
        data = Batches(random_batches(3), random_batches(2))
        rows, model = Notes(), small_model()
        scheduler = {"type": "sched_cls.ExponentialLR", "kwargs": {"gamma": 0.5}}
        fit(model, data, trainer={"max_epochs": 2}, callbacks=[callback], metrics=[Count()], loggers=[rows],
            scheduler=scheduler, run=run)  # fmt: skip
        return rows.rows, parameters_of(model)

    rows, weights = train(tmp_path / "whole")
    Count.fails = True
    with pytest.raises(RuntimeError, match="compute"):
        train(tmp_path / "broken")
    Count.fails = False
    saved = tmp_path / "broken/step_3.pt"
    assert load_checkpoint(saved)["metrics"][0]["state"] == {"attributes": {"seen": 3}}
    continued, reached = train(tmp_path / "broken", resume_from=str(saved))
    assert continued == rows[-len(continued) :]
    assert torch.equal(reached, weights)
