"""Stopped at any point and continued, twice in one epoch, a run comes to the same bits as when it is not stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns.exact import CALLS, SCHEDULERS, Whole, differences, what_differs

from otrainer.engine.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("at", range(CALLS))
@pytest.mark.parametrize("interval", SCHEDULERS)
def test_a_signal_at_any_batch_changes_nothing(tmp_path: Path, whole: Whole, interval: str, at: int) -> None:
    """Also in the middle of an accumulated step, at the edges of epochs, and in validation."""
    assert differences(tmp_path, whole, "workers: 0", interval, at) == []


@pytest.mark.parametrize("at", range(0, CALLS, 2))
def test_nor_does_it_where_the_data_are_a_generator(tmp_path: Path, whole: Whole, at: int) -> None:
    assert differences(tmp_path, whole, "generator", list(SCHEDULERS)[at % len(SCHEDULERS)], at) == []


@pytest.mark.parametrize("at", range(0, CALLS, 4))
def test_nor_does_it_with_data_workers(tmp_path: Path, whole: Whole, at: int) -> None:
    assert differences(tmp_path, whole, "workers: 2", "step", at) == []


@pytest.mark.parametrize("at", range(1, CALLS, 5))
def test_nor_does_it_where_losses_are_scaled(tmp_path: Path, whole: Whole, at: int) -> None:
    assert differences(tmp_path, whole, "scaler", "step", at) == []


def test_the_scaler_that_is_continued_has_changed_its_scale_and_left_a_step_out(whole: Whole) -> None:
    folder, _ = whole("scaler", "step")
    parts = load_checkpoint(folder / "last.pt")

    assert parts["scaler"]["scale"] != 2.0**127
    assert parts["optimizer"]["state"][0]["step"] < parts["train_state"]["global_step"]


def test_the_number_of_workers_changes_nothing(whole: Whole) -> None:
    here, there = whole("workers: 0", "step"), whole("workers: 2", "step")

    assert what_differs(here[0], there[0]) == []
    assert here[1] == there[1]
