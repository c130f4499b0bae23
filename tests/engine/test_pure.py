"""Pure bf16: a run's weights, buffers and batches are in bfloat16, as plain torch's `.bfloat16()` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import TorchLoss
from otrainer.engine.signals import StopRequest, TrainingInterrupted

BF16: dict[str, Any] = {"precision": "bf16"}
KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "fused": False},
    "AdamW": {"lr": 0.01, "foreach": False, "fused": False},
}
Batch = dict[str, torch.Tensor]


def normed() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))


def narrowed(batch: Batch) -> Batch:
    return {name: each.bfloat16() for name, each in batch.items()}


def by_hand(kind: str, accumulate: int = 1, epochs: int = 2) -> nn.Module:
    model, batches = normed().bfloat16(), [narrowed(each) for each in random_batches(4)]
    torch.manual_seed(7)
    optimizer = getattr(torch.optim, kind)(model.parameters(), **KINDS[kind])
    for first in [*range(0, 4, accumulate)] * epochs:
        group = batches[first : first + accumulate]
        optimizer.zero_grad()
        for batch in group:
            (nn.functional.mse_loss(model(batch["x"]), batch["y"]) / len(group)).backward()
        optimizer.step()
    return model


def train(kind: str, accumulate: int = 1, callbacks: Any = (), **run: Any) -> nn.Module:
    model = normed()
    torch.manual_seed(7)
    optimizer = {"type": f"optim_cls.{kind}", "kwargs": KINDS[kind]}
    trainer = {"max_epochs": 2, "grad_accum_steps": accumulate}
    data, run = Batches(random_batches(4)), {**BF16, **run}
    return fit(model, data, trainer=trainer, optimizer=optimizer, callbacks=callbacks, run=run)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_that_of_plain_torch_in_bfloat16_to_the_bit(kind: str, accumulate: int) -> None:
    ours, plain = train(kind, accumulate).state_dict(), by_hand(kind, accumulate).state_dict()
    assert {name: each.dtype for name, each in ours.items()} == {name: each.dtype for name, each in plain.items()}
    assert ours["1.running_mean"].dtype == torch.bfloat16
    assert ours["1.num_batches_tracked"].dtype == torch.int64
    for name, each in plain.items():
        assert torch.equal(ours[name], each), name


@pytest.mark.parametrize(("first", "second"), [(1, 2), (3, 4), (4, 6)])
def test_two_stops_change_no_bit_and_checkpoints_hold_bfloat16(tmp_path: Path, first: int, second: int) -> None:
    whole = train("AdamW")
    last = str(tmp_path / "last.pt")
    for stop, more in ((first, {}), (second, {"resume_from": last})):
        with StopRequest(), pytest.raises(TrainingInterrupted):
            train("AdamW", callbacks=[ModelCheckpoint(str(tmp_path)), StopAt(stop)], **more)
        saved = torch.load(last, weights_only=True)
        assert saved["model"]["0.weight"].dtype == torch.bfloat16
    resumed = train("AdamW", callbacks=[ModelCheckpoint(str(tmp_path)), StopAt(None)], resume_from=last)
    for name, each in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], each), name


def test_weights_of_classes_and_targets_of_whole_numbers_go_along() -> None:
    batches = [{"x": each["x"], "y": (each["y"][:, 0] > 0).long()} for each in random_batches(3)]
    weight = torch.tensor([1.0, 2.5])
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    plain = nn.Linear(4, 2)
    plain.load_state_dict(model.state_dict())
    plain.bfloat16()
    sgd = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.05, "fused": False}}
    fit(model, Batches(batches), loss=TorchLoss(nn.CrossEntropyLoss(weight=weight.clone())), optimizer=sgd, run=BF16)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
    for batch in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(batch["x"].bfloat16()), batch["y"], weight.bfloat16()).backward()
        optimizer.step()
    assert torch.equal(parameters_of(model), parameters_of(plain))


def test_batches_that_somebody_keeps_stay_what_they_are() -> None:
    batches = random_batches(2)
    fit(small_model(), Batches(batches), run=BF16)
    assert {each["x"].dtype for each in batches} == {torch.float32}


def test_widths_that_are_not_known_yet_are_inferred_before() -> None:
    torch.manual_seed(3)
    lazy = nn.Sequential(nn.LazyLinear(16), nn.Tanh(), nn.Linear(16, 1))
    fit(lazy, Batches(random_batches(2)), run=BF16)
    assert {each.dtype for each in lazy.parameters()} == {torch.bfloat16}


def test_validation_and_metrics_are_fed_in_kind() -> None:
    seen: list[torch.dtype] = []

    class Metric:
        def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
            seen.extend([outputs.dtype, targets["y"].dtype])

        def compute(self) -> dict[str, float]:
            return {}

    notes = Notes()
    data = Batches(random_batches(2), random_batches(1, seed=9))
    model = fit(small_model(), data, metrics=[Metric()], loggers=[notes], run=BF16)
    assert set(seen) == {torch.float32}
    batch = narrowed(random_batches(1, seed=9)[0])
    assert notes.values("val", "val_loss") == [nn.functional.mse_loss(model(batch["x"]), batch["y"]).item()]
