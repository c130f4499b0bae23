"""Means are means of what counts: samples, or what the loss says; in validation, in logs, and in a step's gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches
from torch import nn

from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.errors import ConfigError

STILL = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.0}}
MOVING = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9}}
SIZES = (4, 4, 2)


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(4, 3)


def classes(sizes: tuple[int, ...], ignored: int = 0) -> list[dict[str, torch.Tensor]]:
    """Batches for three classes; of each but the first, `ignored` targets are not to count."""
    generator = torch.Generator().manual_seed(5)
    batches = []
    for number, size in enumerate(sizes):
        y = torch.randint(3, (size,), generator=generator)
        if number:
            y[:ignored] = -100
        batches.append({"x": torch.randn(size, 4, generator=generator), "y": y})
    return batches


def whole(batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


FUNCTIONS = [
    nn.CrossEntropyLoss(),
    nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0])),
    nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0]), label_smoothing=0.1),
    nn.CrossEntropyLoss(ignore_index=1),
    nn.CrossEntropyLoss(reduction="sum"),
    nn.MultiMarginLoss(),
]


@pytest.mark.parametrize("fn", FUNCTIONS, ids=repr)
def test_a_step_over_micro_batches_is_one_over_the_whole_batch(fn: nn.Module) -> None:
    batches = classes(SIZES, ignored=0 if isinstance(fn, nn.MultiMarginLoss) else 1)
    if isinstance(fn, nn.CrossEntropyLoss) and fn.ignore_index == 1:
        batches = classes(SIZES)
    notes, model = Notes(), linear()
    fit(
        model,
        Batches(batches * 2),
        trainer={"grad_accum_steps": 3},
        optimizer=MOVING,
        loss=TorchLoss(fn),
        loggers=[notes],
    )

    plain, all_of_it = linear(), whole(batches)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = fn(plain(all_of_it["x"]), all_of_it["y"])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert torch.allclose(parameters_of(model), parameters_of(plain), rtol=1e-5, atol=1e-6)
    assert notes.values("train", "loss") == [pytest.approx(losses[-1], rel=1e-5)]


@pytest.mark.parametrize("fn", FUNCTIONS, ids=repr)
def test_the_validation_loss_is_that_of_all_validation_data_at_once(fn: nn.Module) -> None:
    batches = classes(SIZES, ignored=0 if isinstance(fn, nn.MultiMarginLoss) else 1)
    if isinstance(fn, nn.CrossEntropyLoss) and fn.ignore_index == 1:
        batches = classes(SIZES)
    notes, model = Notes(), linear()
    fit(model, Batches(classes((4,)), batches), optimizer=STILL, loss=TorchLoss(fn), loggers=[notes])

    all_of_it = whole(batches)
    expected = fn(model(all_of_it["x"]), all_of_it["y"])
    if fn.reduction == "sum":  # told by the target that counts, as a mean is
        expected = expected / int((all_of_it["y"] != -100).sum())
    assert notes.values("val", "val_loss") == [pytest.approx(float(expected), rel=1e-5)]


class Counted:
    """A loss over boxes, of which each image has another number."""

    def __init__(self, weight: Any, reduction: str = "mean") -> None:
        self.weight, self.reduction = weight, reduction

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        errors = [(out.sum() - boxes) ** 2 for out, boxes in zip(outputs, targets["y"], strict=True)]
        total = sum(each.sum() for each in errors)
        count = sum(len(boxes) for boxes in targets["y"])
        loss = total if self.reduction == "sum" else total / count if count else total
        return LossOutput(loss, {"count": count}, weight=self.weight(count), reduction=self.reduction)


def boxes(*numbers: tuple[int, ...]) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(2)
    return [
        {"x": torch.randn(len(each), 4, generator=generator), "y": [torch.randn(n, generator=generator) for n in each]}
        for each in numbers
    ]


def lazily(count: int) -> Any:
    return lambda: torch.tensor(count)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [float, torch.tensor, lazily])
def test_a_loss_may_say_what_it_is_a_mean_over(weight: Any, reduction: str) -> None:
    batches, notes, model = boxes((3, 1), (0, 2), (0, 0)), Notes(), linear()
    loss, options = Counted(weight, reduction), {"grad_accum_steps": 3}
    fit(model, Batches(batches, batches), trainer=options, optimizer=MOVING, loss=loss, loggers=[notes])

    plain = linear()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    errors = [(plain(b["x"])[i].sum() - y) ** 2 for b in batches for i, y in enumerate(b["y"])]
    total = sum(each.sum() for each in errors)
    (total if reduction == "sum" else total / 6).backward()
    optimizer.step()
    assert torch.allclose(parameters_of(model), parameters_of(plain), rtol=1e-5, atol=1e-6)
    after = sum(float(((plain(b["x"])[i].sum() - y) ** 2).sum()) for b in batches for i, y in enumerate(b["y"]))
    assert notes.values("val", "val_loss") == [pytest.approx(after / 6, rel=1e-5)]
    assert notes.values("val", "val_count") == [pytest.approx((4 * 4 + 2 * 2) / 6)]


def test_io_may_say_what_a_batch_counts() -> None:
    class Io:
        def split(self, batch: Any, *, stage: str) -> Any:
            return ArgsKwargs((batch["x"],)), {"y": batch["y"]}, {"weight": batch["n"]}

    batches = [{**batch, "n": n} for batch, n in zip(classes((2, 2)), (1.0, 3.0), strict=True)]
    notes, model = Notes(), linear()
    loss = TorchLoss(nn.MultiMarginLoss())
    fit(model, Batches(batches, batches), optimizer=STILL, loss=loss, io=Io(), loggers=[notes])

    first, second = (float(nn.MultiMarginLoss()(model(batch["x"]), batch["y"])) for batch in batches)
    assert notes.values("val", "val_loss") == [pytest.approx((first + 3 * second) / 4, rel=1e-6)]


def test_without_a_word_the_first_dimension_of_the_model_s_input_counts() -> None:
    """Not that of the targets, which here begin with the boxes of the first image."""
    batches, notes, model = boxes((9, 1, 1, 1), (1, 1)), Notes(), linear()

    class Plain:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(outputs.pow(2).mean())

    fit(model, Batches(batches, batches), optimizer=STILL, loss=Plain(), loggers=[notes])

    per_image = [float(out.pow(2).mean()) for batch in batches for out in model(batch["x"])]
    assert notes.values("val", "val_loss") == [pytest.approx(sum(per_image) / 6, rel=1e-6)]


def test_a_batch_that_counts_nothing_may_have_a_loss_that_is_no_number() -> None:
    batches = classes((4, 4))
    batches[1]["y"][:] = -100
    model, plain = linear(), linear()
    loss = partial(TorchLoss, nn.CrossEntropyLoss())
    fit(model, Batches(batches), trainer={"grad_accum_steps": 2}, optimizer=MOVING, loss=loss())
    fit(plain, Batches(batches[:1]), optimizer=MOVING, loss=loss())

    assert torch.equal(parameters_of(model), parameters_of(plain))


def test_equal_micro_batches_are_averaged_as_ever() -> None:
    """To the bit: each loss divided by their number, nothing afterwards."""
    batches, model = random_batches(4), nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.fill_(0.1)
        model.bias.fill_(0.0)
    plain = nn.Linear(4, 1)
    plain.load_state_dict(model.state_dict())
    fit(model, Batches(batches), trainer={"grad_accum_steps": 2}, optimizer=MOVING)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, fused=True)
    for start in (0, 2):
        optimizer.zero_grad()
        for batch in batches[start : start + 2]:
            (nn.functional.mse_loss(plain(batch["x"]), batch["y"]) / 2).backward()
        optimizer.step()
    assert torch.equal(parameters_of(model), parameters_of(plain))


def test_values_are_logged_in_their_own_precision_and_integers_as_such() -> None:
    class Odd:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            logs = {"seen": 2**60 + 1, "exact": torch.tensor(1 / 3, dtype=torch.float64), "whole": torch.tensor(7)}
            return LossOutput(((outputs - targets["y"]) ** 2).mean(), logs)

    notes = Notes()
    fit(nn.Linear(4, 1), Batches(random_batches(1), random_batches(1)), loss=Odd(), loggers=[notes])

    for stage, prefix in (("train", ""), ("val", "val_")):
        assert notes.values(stage, f"{prefix}seen") == [2**60 + 1]
        assert notes.values(stage, f"{prefix}exact") == [1 / 3]
        assert [type(value) for value in notes.values(stage, f"{prefix}whole")] == [int]


@pytest.mark.parametrize(("name", "shown"), [("step", "step"), ("lr", "lr"), ("stage", "stage")])
def test_logs_that_would_take_a_row_s_own_name_are_refused(name: str, shown: str) -> None:
    class Taken:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(((outputs - targets["y"]) ** 2).mean(), {name: 1.0})

    with pytest.raises(ConfigError, match=f"logged as `{shown}`"):
        fit(nn.Linear(4, 1), Batches(random_batches(1)), loss=Taken())


def test_the_loss_itself_may_be_among_its_logs_and_nothing_else_by_its_name() -> None:
    class Logs:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            loss = ((outputs - targets["y"]) ** 2).mean()
            return LossOutput(loss, {"loss": loss.detach() * self.factor})

    fit(nn.Linear(4, 1), Batches(random_batches(2), random_batches(1)), loss=Logs(1.0))
    with pytest.raises(ConfigError, match="logged as `loss`"):
        fit(nn.Linear(4, 1), Batches(random_batches(2)), loss=Logs(2.0))
