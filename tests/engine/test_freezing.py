"""What is frozen is a function of the step: as plain torch trains it, and the same across stops about each bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, parameters_of, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.freezing import Freezing
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import TrainState
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError

BATCHES, EPOCHS = 4, 3


class Net(nn.Module):
    """A body with norms, one of which has no parameters, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8, affine=False)
        )
        self.head = nn.Linear(8, 1)
        self.own = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(x))
        return y


def numbers_of(model: nn.Module) -> torch.Tensor:
    """All parameters and buffers in one vector."""
    buffers = [each.detach().reshape(-1).float() for each in model.buffers()]
    return torch.cat([parameters_of(model), *buffers])


def train(folder: Path, freeze: Any, *, stop_at: int | None = None, resume: bool = False) -> nn.Module:
    with StopRequest():
        return fit(
            Net(),
            Batches(random_batches(BATCHES), random_batches(2, seed=5)),
            trainer={"max_epochs": EPOCHS, "freeze": freeze},
            optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-2, "weight_decay": 0.1}},
            callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
            run={"seed": 7, **({"resume_from": str(folder / "last.pt")} if resume else {})},
        )


def by_hand(frozen: Any, *, never: bool = False) -> torch.Tensor:
    """Plain torch, whose body is frozen wherever `frozen(step, epoch)` says so, its norms in evaluation mode then."""
    model = Net()
    trained = [*model.head.parameters()] if never else [*model.body.parameters(), *model.head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1, fused=True)
    step = 0
    for epoch in range(EPOCHS):
        for batch in random_batches(BATCHES):
            is_frozen = frozen(step, epoch)
            for parameter in model.body.parameters():
                parameter.requires_grad_(not is_frozen)
            for module in (model.body[1], model.body[4]):
                module.train(not is_frozen)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
            optimizer.step()
            step += 1
    return numbers_of(model)


RULES = {
    "for good": ([{"match": "body.*"}], lambda step, epoch: True),
    "until a step": ([{"match": "body.*", "until_step": 3}], lambda step, epoch: step < 3),
    "until an epoch": ([{"match": "re:^body", "until_epoch": 1}], lambda step, epoch: epoch < 1),
    "from a step": ([{"match": "body.*", "from_step": 6}], lambda step, epoch: step >= 6),
    "from an epoch": ([{"match": ["body.*"], "from_epoch": 2}], lambda step, epoch: epoch >= 2),
    "in between": (
        [{"match": "body.*", "until_step": 2}, {"match": "body.*", "from_step": 9}],
        lambda step, epoch: step < 2 or step >= 9,
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_it_trains_as_plain_torch_does(tmp_path: Path, name: str) -> None:
    rules, frozen = RULES[name]
    assert torch.equal(numbers_of(train(tmp_path, rules)), by_hand(frozen, never=name == "for good"))


@pytest.mark.parametrize(
    ("name", "stop_at"),
    [
        ("until a step", 2), ("until a step", 3), ("until a step", 4), ("until an epoch", 3), ("until an epoch", 4),
        ("until an epoch", 5), ("from a step", 5), ("from a step", 6), ("in between", 1), ("in between", 9),
        ("in between", 10), ("for good", 5),
    ],
)  # fmt: skip
def test_a_run_that_is_stopped_about_a_bound_ends_as_if_it_had_not_been(
    tmp_path: Path, name: str, stop_at: int
) -> None:
    rules, _ = RULES[name]
    whole = numbers_of(train(tmp_path / "whole", rules))
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", rules, stop_at=stop_at)
    assert torch.equal(numbers_of(train(tmp_path / "broken", rules, resume=True)), whole)


def test_a_resume_under_other_rules_freezes_by_those(tmp_path: Path) -> None:
    """What is frozen comes from the config, as hyperparameters do."""
    with pytest.raises(TrainingInterrupted):
        train(tmp_path, [{"match": "body.*", "until_step": 9}], stop_at=2)
    body = Net().body.state_dict()
    thawed = train(tmp_path, None, resume=True)
    assert not torch.equal(thawed.body[0].weight, body["0.weight"])  # type: ignore[index,union-attr]


def test_what_has_no_width_yet_can_be_frozen() -> None:
    """As it is at validation, before a batch says how wide it is."""
    model = nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 1))
    Freezing([{"match": "0.*"}], model).freeze_for_good()

    assert [each.requires_grad for each in model.parameters()] == [False, False, True, True]


def test_what_the_model_freezes_itself_stays_frozen() -> None:
    model = Net()
    freezing = Freezing([{"match": "body.*", "until_step": 1}], model)
    freezing.apply(TrainState(global_step=5))
    assert not model.own.weight.requires_grad


@pytest.mark.parametrize(
    ("rules", "place", "words"),
    [
        ([{"match": "bdy.*"}], (0, "match"), "`bdy.*` matches no parameter that trains."),
        ([{"match": "own.*"}], (0, "match"), "`own.*` matches no parameter that trains."),
        ([{"modules": "Conv2d"}], (0, "modules"), "No module of a class `Conv2d`"),
        ([{"match": "head.*", "modules": "norm"}], (0,), "goes by both `match` and `modules`"),
    ],
)
def test_a_rule_that_matches_nothing_is_refused(rules: Any, place: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Freezing(rules, Net())
    assert words in caught.value.findings[0].message
    assert caught.value.findings[0].config_path == ("trainer", "freeze", *place)


@pytest.mark.parametrize(
    ("rules", "place", "words"),
    [
        ("body.*", (), "`freeze` lists mappings."),
        (["body.*"], (0,), "A rule is a mapping"),
        ([{"mach": "body.*"}], (0,), "A rule is a mapping"),
        ([{"match": "body.*", "until": 3}], (0, "until"), "A rule has no `until`."),
        ([{"match": "body.*", "until_step": "3"}], (0, "until_step"), "a whole number from 0 on"),
        ([{"match": "body.*", "until_step": 3, "from_step": 9}], (0, "from_step"), "A rule has one of"),
        ([{"match": "re:["}], (0, "match"), "no regular expression"),
    ],
)
def test_what_is_no_rule_is_told_at_its_place(rules: Any, place: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DefaultTrainer(freeze=rules)
    assert words in caught.value.findings[0].message
    assert caught.value.findings[0].config_path == ("trainer", "freeze", *place)
