"""`model.tie`: one tensor under several names, built first, trained once, saved and loaded as one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, parameters_of, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.config import Settings
from otrainer.engine.checkpoint import load_checkpoint, load_model_state
from otrainer.errors import ConfigError
from otrainer.model import blueprint, compile_model
from otrainer.registry import Registry

Make = Callable[[dict[str, Any]], Any]
SQUARE = {"_type_": "nn.Linear", "in_features": 4, "out_features": 4, "bias": False}
TIED = {
    "sequential": {"layers": [SQUARE, {"_type_": "nn.Tanh"}, SQUARE, {"_type_": "nn.Linear", "_args_": [4, 1]}]},
    "tie": ["layers.2.weight", "layers.0.weight"],
}


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 1)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.second(self.first(x).tanh()))
        return y


def seeded(make: Callable[[], Any]) -> Any:
    torch.manual_seed(3)
    return make()


def test_it_is_the_tensor_that_was_built_first_and_trains_as_in_plain_torch(make: Make) -> None:
    ours, plain = seeded(lambda: make(TIED)), seeded(ByHand)
    assert ours.layers[0].weight is ours.layers[2].weight
    assert torch.equal(parameters_of(ours), parameters_of(plain))

    fit(ours, Batches(random_batches(4)), optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 0.1}})
    fit(plain, Batches(random_batches(4)), optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 0.1}})
    assert torch.equal(parameters_of(ours), parameters_of(plain))


def test_it_stays_one_through_checkpoints_copies_and_pickles(make: Make, tmp_path: Path) -> None:
    model = make(TIED)
    fit(model, Batches(random_batches(4)), callbacks=[ModelCheckpoint(str(tmp_path))])
    loaded = make(TIED)
    load_model_state(loaded, load_checkpoint(tmp_path / "last.pt"))

    for each in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own
        assert each.layers[0].weight is each.layers[2].weight
        assert torch.equal(parameters_of(each), parameters_of(model))


def test_a_model_without_numbers_has_it_once(registry: Registry) -> None:
    model = blueprint(compile_model(TIED, registry=registry), registry, Settings())

    assert sum(each.numel() for each in model.parameters()) == 16 + 5


def test_parts_of_several_models_may_share(make: Make) -> None:
    model = make({"components": {"one": SQUARE, "two": SQUARE}, "tie": [["two.weight", "one.weight"]]})

    assert model.one.weight is model.two.weight


@pytest.mark.parametrize(
    ("tie", "path", "said"),
    [
        (["layers.0.weight", "layers.2.wieght"], ("model", "tie", 1), "no parameter `layers.2.wieght`"),
        ([["layers.0.weight", "layers.3.weight"]], ("model", "tie", 0, 1), "`layers.3.weight` is [1, 4], and"),
        (["layers.0.weight"], ("model", "tie"), "two names"),
        ("layers.0.weight", ("model", "tie"), "`tie` is a list"),
        ([["layers.0.weight", 3]], ("model", "tie", 0), "two names"),
    ],
)
def test_what_cannot_be_one_tensor_is_told_at_its_place(make: Make, tie: Any, path: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make({**TIED, "tie": tie})

    assert caught.value.config_path == path
    assert said in str(caught.value)


def test_a_width_that_a_batch_decides_is_not_tied(make: Make) -> None:
    lazy = {"sequential": {"layers": [{"_type_": "nn.LazyLinear", "out_features": 4}, SQUARE]}}
    with pytest.raises(ConfigError, match="has no shape yet"):
        make({**lazy, "tie": ["layers.0.weight", "layers.1.weight"]})
