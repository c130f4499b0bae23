"""Gradients of a group are clipped to its own norm as torch clips them, to the bit, before those of all are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, parameters_of, random_batches
from torch import nn
from torch.nn.utils import clip_grad_norm_

from otrainer.commands.show_model.groups import row_of
from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.clipping import clip
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.registry import build_registry

SGD: dict[str, Any] = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.5, "momentum": 0.9, "fused": False}}
BODY, HEAD = 0.02, 0.01
CLIPS: list[dict[str, Any]] = [
    {"match": "body.*", "clip_norm": BODY, "name": "body"},
    {"match": "head.*", "clip_norm": HEAD},
]
TOTAL = 0.015
STEPS = 8


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Linear(4, 8)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(self.stem(x)).tanh())
        return y


def by_hand(total: float | None = TOTAL, *, decay: float = 0.0, apart: bool = False) -> torch.Tensor:
    """Plain torch. Where the head is `apart`, as of another optimizer, the total is of the others alone."""
    model = Net()
    body, head = [*model.body.parameters()], [*model.head.parameters()]
    others = [*model.stem.parameters(), *body]
    decays = [each for each in model.parameters() if each.dim() > 1]
    plain = [each for each in model.parameters() if each.dim() == 1]
    groups = [{"params": decays}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.9, weight_decay=decay)
    for batch in random_batches(4) * 2:
        model.zero_grad()
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        clip_grad_norm_(body, BODY)
        clip_grad_norm_(head, HEAD)
        if total is not None:
            clip_grad_norm_(others if apart else model.parameters(), total)
        optimizer.step()
    return parameters_of(model)


def trained(optimizer: Any, total: float | None = TOTAL, **more: Any) -> torch.Tensor:
    trainer = {"max_epochs": 2, "grad_clip_norm": total}
    return parameters_of(fit(Net(), Batches(random_batches(4)), trainer=trainer, optimizer=optimizer, **more))


def test_a_group_is_clipped_by_itself_as_torch_clips_it() -> None:
    assert torch.equal(trained({**SGD, "groups": CLIPS}, None), by_hand(None))
    assert not torch.equal(by_hand(None), trained(SGD, None))


def test_then_all_are_clipped() -> None:
    assert torch.equal(trained({**SGD, "groups": CLIPS}), by_hand())
    assert not torch.allclose(by_hand(), by_hand(None), rtol=1e-3)


def test_its_undecayed_and_layered_parts_are_clipped_together() -> None:
    kwargs = {**SGD["kwargs"], "weight_decay": 0.1}
    undecayed = {**SGD, "kwargs": kwargs, "groups": CLIPS, "no_decay": ["bias", "norm"]}
    assert torch.equal(trained(undecayed, None), by_hand(None, decay=0.1))
    layered = {**SGD, "groups": CLIPS, "layer_decay": {"rate": 1.0, "layers": ["stem.*", r"re:^body\.(\d+)\."]}}
    assert torch.equal(trained(layered, None), by_hand(None))


def test_groups_of_several_optimizers_are_clipped_before_the_norm_of_each() -> None:
    first = {**SGD, "parameters": ["stem.*", "body.*"], "groups": CLIPS[:1], "grad_clip_norm": TOTAL}
    second = {**SGD, "parameters": ["head.*"], "groups": CLIPS[1:]}
    assert torch.equal(trained({"one": first, "other": second}, None), by_hand(apart=True))
    assert torch.equal(trained({"one": {**first, "grad_clip_norm": None}, "other": second}, None), by_hand(None))


@pytest.mark.parametrize("stops", [(1, 2), (3, 4), (4, 5), (7,)])
def test_two_stops_change_no_bit(stops: tuple[int, ...], tmp_path: Path) -> None:
    last = None
    for stop in (*stops, None):
        callbacks, run = [StopAt(stop), ModelCheckpoint(str(tmp_path))], {"resume_from": last}
        try:
            with StopRequest():
                found = trained({**SGD, "groups": CLIPS}, None, callbacks=callbacks, run=run)
        except TrainingInterrupted:
            last = str(tmp_path / "last.pt")
    assert torch.equal(found, by_hand(None))


@pytest.mark.parametrize(("before", "after"), [(None, HEAD), (HEAD, None), (HEAD, 2 * HEAD)])
def test_a_checkpoint_fits_whatever_norms_its_groups_had(before: Any, after: Any, tmp_path: Path) -> None:
    """Momentum and all goes on; only the gradients to come are clipped otherwise."""

    def optimizer(norm: float | None) -> dict[str, Any]:
        return {**SGD, "groups": [{"match": "head.*", **({} if norm is None else {"clip_norm": norm})}]}

    checkpoint = ModelCheckpoint(str(tmp_path))
    with pytest.raises(TrainingInterrupted), StopRequest():
        trained(optimizer(before), None, callbacks=[StopAt(3), checkpoint])
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert all("clip_norm" not in group for group in saved["optimizer"]["param_groups"])
    found = trained(optimizer(after), None, run={"resume_from": str(tmp_path / "last.pt")})

    model = Net()
    plain = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for number, batch in enumerate(random_batches(4) * 2):
        model.zero_grad()
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        if (norm := before if number < 3 else after) is not None:
            clip_grad_norm_(model.head.parameters(), norm)
        plain.step()
    assert torch.equal(found, parameters_of(model))


def test_gradients_are_clipped_without_the_scale_for_fp16() -> None:
    """Where a group is the only thing to be clipped, the scale has to be taken out all the same."""
    accelerator, model = Accelerator(), Net()
    accelerator.scaler = torch.amp.GradScaler("cpu")
    optimizer = TorchOptimizerFactory(**SGD, groups=CLIPS[1:]).build(model, registry=build_registry())
    accelerator.backward(model.head.weight.sum() * 3)
    ctx, watch = SimpleNamespace(optimizer=optimizer), SimpleNamespace(see_norm=None)
    session: Any = SimpleNamespace(accelerator=accelerator, watch=watch, ctx=ctx)
    clip(session, None, None)

    assert model.head.weight.grad is not None
    assert model.head.weight.grad.norm().item() == pytest.approx(HEAD, rel=1e-3)


@pytest.mark.parametrize("norm", [0, -1.0, "1", True, float("nan")])
def test_what_is_no_norm_is_refused_at_its_place(norm: Any) -> None:
    with pytest.raises(ConfigError, match="`clip_norm` is a number above 0") as caught:
        TorchOptimizerFactory(**SGD, groups=[{"match": "head.*", "clip_norm": norm}])
    assert caught.value.findings[0].config_path == ("optimizer", "groups", 0, "clip_norm")


def test_a_misspelt_norm_is_told_with_the_nearest_key() -> None:
    factory = TorchOptimizerFactory(**SGD, groups=[{"match": "head.*", "grad_clip_norm": 1.0}])
    with pytest.raises(ConfigError) as caught:
        factory.build(Net(), registry=build_registry())
    assert caught.value.findings[0].suggestions == ("clip_norm",)


def test_the_norm_is_shown_with_each_part_of_its_group() -> None:
    factory = TorchOptimizerFactory(**SGD, groups=CLIPS[:1], no_decay=["bias"])
    optimizer = factory.build(Net(), registry=build_registry())
    rows = [row_of(group, number, optimizer, "") for number, group in enumerate(optimizer.param_groups)]

    assert [(row.name, "clip_norm 0.02" in row.options) for row in rows] == [
        ("rest", False), ("no_decay", False), ("body", True), ("body_no_decay", True)
    ]  # fmt: skip
