"""Callbacks, metrics and loggers of a checkpoint are matched by what they are, not by where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint.identity import matched
from otrainer.engine.state import RunContext


class Counts:
    """A callback with a setting and a state."""

    def __init__(self, every: int = 1, name: str = "") -> None:
        self.every, self.steps = every, 0
        if name:
            self.name = name

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.steps += self.every


class Sums(Counts):
    """One of another class."""


class MeanOutput:
    """A metric and logger that keeps all that it ever saw."""

    def __init__(self, name: str = "mean") -> None:
        self.name, self.seen = name, 0

    def reset(self) -> None:
        """Forget nothing."""

    def update(self, **_: Any) -> None:
        self.seen += 1

    def compute(self) -> dict[str, float]:
        return {self.name: float(self.seen)}

    def log_metrics(self, metrics: Any, *, step: int, stage: str) -> None:
        self.seen += 1


def train(folder: Path, epochs: int, **parts: Any) -> None:
    last = folder / "last.pt"
    callbacks = [*parts.pop("callbacks", ()), ModelCheckpoint(str(folder))]
    run = {"resume_from": str(last)} if last.exists() else {}
    batches = random_batches(2)
    fit(small_model(), Batches(batches, batches), trainer={"max_epochs": epochs}, callbacks=callbacks, run=run, **parts)


def after_a_stop(folder: Path, before: list[Any], after: list[Any]) -> list[int]:
    """The steps that each callback of `after` knows of, the two before the stop by `before`."""
    train(folder, 1, callbacks=before)
    train(folder, 2, callbacks=after)
    return [part.steps for part in after]


def test_callbacks_that_changed_places_keep_their_own_state(tmp_path: Path) -> None:
    assert after_a_stop(tmp_path, [Counts(1), Sums(10), Counts(100)], [Counts(100), Counts(1), Sums(10)]) == [
        400,
        4,
        40,
    ]


def test_one_that_is_added_begins_anew_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert after_a_stop(tmp_path, [Counts()], [Sums(), Counts()]) == [2, 4]
    assert "`Sums` (callbacks[0]) is not in the checkpoint, and begins anew." in caplog.text


def test_one_that_is_removed_leaves_the_others_theirs_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert after_a_stop(tmp_path, [Sums(), Counts(7)], [Counts(7)]) == [28]
    assert "The checkpoint's state of `Sums` is left: it is not among this config's callbacks." in caplog.text


def test_one_whose_setting_is_changed_is_the_same_one(tmp_path: Path) -> None:
    assert after_a_stop(tmp_path, [Counts(1), Sums()], [Sums(), Counts(5)]) == [4, 2 * 1 + 2 * 5]


def test_of_several_of_one_class_the_name_tells_which_is_which(tmp_path: Path) -> None:
    before, after = [Counts(1, "a"), Counts(10, "b")], [Counts(20, "b"), Counts(2, "a")]

    assert after_a_stop(tmp_path, before, after) == [20 + 40, 2 + 4]


@pytest.mark.parametrize("section", ["metrics", "loggers"])
def test_metrics_and_loggers_are_matched_alike(section: str, tmp_path: Path) -> None:
    first, second, third = MeanOutput("one"), MeanOutput("two"), MeanOutput("three")
    train(tmp_path / "parts", 1, **{section: [first, second]})
    second.seen, first.seen = 0, 0
    train(tmp_path / "parts", 2, **{section: [third, second, first]})
    whole = MeanOutput("one")
    train(tmp_path / "whole", 2, **{section: [whole]})

    assert first.seen == second.seen == whole.seen > third.seen > 0


identities = st.fixed_dictionaries(
    {
        "class": st.sampled_from(["A", "B"]),
        "name": st.none() | st.sampled_from(["x", "y"]),
        "built": st.sampled_from(["1", "2", "3"]),
    }
)


@given(st.lists(identities, max_size=6), st.lists(identities, max_size=6))
def test_each_is_matched_with_one_of_its_class_and_none_twice(now: list[Any], kept: list[Any]) -> None:
    found = matched(now, kept)

    assert len(set(found.values())) == len(found)
    assert all(now[index]["class"] == kept[place]["class"] for index, place in found.items())
    for name in ("A", "B"):
        sizes = [sum(each["class"] == name for each in part) for part in (now, kept)]
        assert sum(now[index]["class"] == name for index in found) == min(sizes)


@given(st.data(), st.lists(identities, max_size=6, unique_by=lambda each: (each["class"], each["built"])))
def test_in_any_order_each_that_was_built_otherwise_finds_its_own(data: Any, kept: list[Any]) -> None:
    now = data.draw(st.permutations(kept))

    assert all(now[index] == kept[place] for index, place in matched(now, kept).items())


def test_what_is_loaded_into_a_metric_of_torch_is_its_own(tmp_path: Path) -> None:
    """Two modules of one class, told apart by what they were built with."""

    class Keeps(torch.nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale
            self.register_buffer("total", torch.zeros(()))

        def on_train_step_end(self, ctx: RunContext) -> None:
            self.total += self.scale

    before, after = [Keeps(1.0), Keeps(10.0)], [Keeps(10.0), Keeps(1.0)]
    train(tmp_path, 1, callbacks=before)
    train(tmp_path, 2, callbacks=after)

    assert [float(part.total) for part in after] == [40.0, 4.0]
