"""cb.profiler and cb.throughput: what they leave in the run's folder, and that training never notices them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.callbacks.profiler import Profiler
from otrainer.components.callbacks.throughput import Throughput
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint


class PerElement:
    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        loss = torch.nn.functional.mse_loss(outputs, targets["y"])
        return LossOutput(loss, weight=lambda: torch.tensor(3 * len(batch["x"])))


def train(folder: Path, *callbacks: Any, **more: Any) -> torch.Tensor:
    data = Batches(random_batches(9), random_batches(1, seed=5))
    return parameters_of(fit(small_model(), data, callbacks=callbacks, run={"out_dir": str(folder)}, **more))


def test_the_trace_has_the_steps_that_were_asked_for_and_training_is_the_same(tmp_path: Path) -> None:
    traced = train(tmp_path, Profiler(wait=2, warmup=1, active=3))

    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {each["name"] for each in events if each["name"].startswith("ProfilerStep")} == {
        "ProfilerStep#3", "ProfilerStep#4", "ProfilerStep#5",
    }  # fmt: skip
    assert any(each["name"] == "aten::addmm" for each in events)
    assert torch.equal(traced, train(tmp_path / "plain"))


def test_a_run_that_is_too_short_or_fails_leaves_no_trace_and_no_profiler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Fail:
        def on_train_step_end(self, ctx: Any) -> None:
            if ctx.state.global_step == 5:
                raise OSError("broken off")

    train(tmp_path, Profiler(wait=8, warmup=1, active=3))
    with pytest.raises(OSError, match="broken off"):
        train(tmp_path, Profiler(wait=2, warmup=1, active=5), Fail())
    assert not (tmp_path / "trace.json").exists()
    assert "no trace, which takes" in caplog.text
    train(tmp_path, Profiler(wait=0, warmup=1, active=1))
    assert (tmp_path / "trace.json").exists()


def test_speeds_are_those_of_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("otrainer.components.callbacks.throughput.time.perf_counter", lambda: now[0])

    class Clock:
        def on_train_step_end(self, ctx: Any) -> None:
            now[0] += 0.5

    seen = train(tmp_path, Clock(), Throughput(window=2), loss=PerElement(), trainer={"grad_accum_steps": 2})

    rows = [json.loads(line) for line in (tmp_path / "throughput.jsonl").read_text().splitlines()]
    fast = {"steps_per_s": 2.0, "samples_per_s": 32.0, "weight_per_s": 96.0}
    assert rows == [{"step": 3, **fast}, {"step": 5, **fast, "samples_per_s": 24.0, "weight_per_s": 72.0}]
    assert torch.equal(seen, train(tmp_path / "plain", loss=PerElement(), trainer={"grad_accum_steps": 2}))


def test_a_run_that_fails_within_a_step_saves_the_one_before_all_the_same(tmp_path: Path) -> None:
    class Broken(PerElement):
        calls = 0

        def __call__(self, *, stage: str, **given: Any) -> LossOutput:
            Broken.calls += stage == "train"
            if Broken.calls == 6:
                raise OSError("broken off")
            return super().__call__(stage=stage, **given)

    with pytest.raises(OSError, match="broken off"):
        train(
            tmp_path,
            Throughput(),
            ModelCheckpoint(str(tmp_path)),
            loss=Broken(),
            trainer={"grad_accum_steps": 2},
        )
    assert load_checkpoint(tmp_path / "last.pt")["train_state"]["global_step"] == 2
