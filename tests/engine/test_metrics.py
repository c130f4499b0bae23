"""What a metric computes is a number with a name, known before the first step; what it cannot compute is left out."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import EarlyStopping
from otrainer.errors import ConfigError


class Errors:
    """Keeps the errors of each stage, and computes what a function makes of those of validation."""

    def __init__(self, make: Callable[[list[torch.Tensor]], Any]) -> None:
        self.make = make
        self.reset()

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        self.errors[stage].append((outputs - targets["y"]).abs().reshape(-1))

    def compute(self) -> Any:
        return self.make(self.errors["val"])

    def reset(self) -> None:
        self.errors: dict[str, list[torch.Tensor]] = {"train": [], "val": []}


class Both(Errors):
    """Means of both stages; it divides by the count of either."""

    def __init__(self) -> None:
        super().__init__(list)

    def compute(self) -> dict[str, float]:
        return {f"{stage}_mae": sum(map(float, map(torch.mean, x))) / len(x) for stage, x in self.errors.items()}


class Val(Errors):
    """A metric whose batches are all of validation."""

    def update(self, *, stage: str, **values: Any) -> None:
        if stage == "val":
            super().update(stage=stage, **values)


def data() -> Batches:
    return Batches(random_batches(3), random_batches(2))


NO_NUMBER: dict[str, Callable[[list[torch.Tensor]], Any]] = {
    "a tensor of several": lambda errors: {"per_class": torch.cat(errors)},
    "a text": lambda errors: {"per_class": "warm"},
    "a pair": lambda errors: {"per_class": (1.0, 2.0)},
    "a mapping": lambda errors: {"per_class": {"a": 1.0}},
    "an array": lambda errors: {"per_class": torch.cat(errors).numpy()},
}


@pytest.mark.parametrize("kind", NO_NUMBER)
def test_what_is_no_number_is_refused_by_name_before_the_first_step(kind: str) -> None:
    model = small_model()
    before = parameters_of(model)
    with pytest.raises(ConfigError, match="as `per_class` is no number") as error:
        fit(model, data(), metrics=[Errors(lambda errors: 1.0), Errors(NO_NUMBER[kind])])

    assert error.value.findings[0].config_path == ("metrics", 1)
    assert torch.equal(parameters_of(model), before)


def test_none_for_one_batch_is_told_and_refused_for_an_epoch(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    fit(small_model(), data(), metrics=[Val(lambda e: {"x": 1.0 if len(e) > 1 else None})], loggers=[notes])
    assert notes.values("val", "x") == [1.0]
    assert any("metrics.0 computes None as `x` of one batch" in text for text in caplog.messages)

    with pytest.raises(ConfigError, match="as `x` is no number") as error:
        fit(small_model(), data(), metrics=[Val(lambda e: {"x": None})])
    assert error.value.findings[0].config_path == ("metrics", 0)


def test_names_may_be_numbers() -> None:
    notes = Notes()
    fit(small_model(), data(), metrics=[Val(lambda e: dict(enumerate([0.5, 0.25])))], loggers=[notes])

    assert (notes.values("val", "0"), notes.values("val", "1")) == ([0.5], [0.25])


NOTHING: dict[str, Callable[[list[torch.Tensor]], Any]] = {
    "a mean of torch": lambda errors: {"mae": float(torch.cat(errors).mean())},
    "a mean of Python": lambda errors: {"mae": statistics.mean(map(float, torch.cat(errors) if errors else ()))},
    "a count of zero": lambda errors: {"mae": sum(map(float, map(torch.mean, errors))) / len(errors)},
    "the last one": lambda errors: {"mae": float(errors[-1].mean())},
    "none": lambda errors: {"mae": float(torch.cat(errors).mean()) if errors else None},
}


@pytest.mark.parametrize("kind", NOTHING)
def test_a_metric_that_saw_nothing_is_left_out_of_epochs_without_validation(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    notes, trainer = Notes(), {"max_epochs": 6, "val_every_n_epochs": 3}
    fit(small_model(), data(), trainer=trainer, metrics=[Val(NOTHING[kind])], loggers=[notes])

    assert len(notes.values("val", "mae")) == 2
    assert notes.values("metrics", "mae") == []
    (told,) = [text for text in caplog.messages if "left out" in text]
    assert "`Val` (metrics.0) computes nothing in an epoch that is not validated" in told


def test_a_metric_of_training_alone_is_no_value_of_validation() -> None:
    class Seen:
        """How many batches came."""

        def __init__(self) -> None:
            self.count = 0

        def update(self, **_: Any) -> None:
            self.count += 1

        def compute(self) -> dict[str, int]:
            return {"seen": self.count}

    notes = Notes()
    fit(small_model(), Batches(random_batches(3)), metrics=[Seen()], loggers=[notes])

    assert (notes.values("metrics", "seen"), notes.values("val", "seen")) == ([3], [])


def test_a_metric_without_any_validation_data_is_left_out_too() -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(3)), metrics=[Val(NOTHING["a mean of torch"])], loggers=[notes])

    assert not [row for _, _, row in notes.rows if "mae" in row]


def test_a_metric_that_fails_in_a_validated_epoch_stops_the_run() -> None:
    with pytest.raises(KeyError):
        fit(small_model(), data(), metrics=[Val(lambda errors: {}["no"])])


def test_a_metric_of_both_stages_has_names_before_the_first_step(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="otrainer"):
        fit(small_model(), data(), metrics=[Both()], callbacks=[EarlyStopping("val_mae")])
    assert not caplog.messages

    model = small_model()
    before = parameters_of(model)
    with pytest.raises(ConfigError, match="val_mea") as error:
        fit(model, data(), metrics=[Both()], callbacks=[EarlyStopping("val_mea")])
    assert error.value.findings[0].title == "unknown monitor"
    assert torch.equal(parameters_of(model), before)


def test_what_it_saw_in_the_rehearsal_is_forgotten() -> None:
    notes, model = Notes(), small_model()
    seen: list[tuple[str, int]] = []

    class Counting(Both):
        def compute(self) -> dict[str, float]:
            seen[:] = [(stage, len(each)) for stage, each in self.errors.items()]
            return super().compute()

    fit(model, data(), metrics=[Counting()], loggers=[notes])

    plain = [float((model(batch["x"]) - batch["y"]).abs().mean()) for batch in random_batches(2)]
    assert seen == [("train", 3), ("val", 2)]
    assert notes.values("val", "val_mae") == pytest.approx([sum(plain) / 2])
