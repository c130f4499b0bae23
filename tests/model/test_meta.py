"""A model is looked at without its numbers: no memory, nothing drawn, and constructors that need values get them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from otrainer.config import Settings
from otrainer.errors import ConfigError
from otrainer.model import GeneratedModel, blueprint, compile_model, has_lazy
from otrainer.model.meta import model_summary
from otrainer.registry import Registry

Make = Callable[[dict[str, Any]], GeneratedModel]


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"sequential": {"inputs": ["x"], "layers": list(layers)}}


@pytest.fixture
def empty(registry: Registry) -> Make:
    """A model without numbers from a `model` section."""
    return lambda section: blueprint(compile_model(section, registry=registry), registry, Settings())


class ReadsRates(nn.Module):
    """As residual networks do that drop layers by depth."""

    def __init__(self, depth: int = 3, width: int = 8) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.3, depth)]
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in self.rates)


class ReadsNumpy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.register_buffer("window", torch.from_numpy(np.hanning(int(torch.arange(5).numpy().max()))))


class ReadsWeights(nn.Module):
    """A constructor that cannot do without the numbers of its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.scale = 1 / float(self.fc.weight.norm())
        self.noise = torch.randn(3, device="cpu").tolist()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.embed.weight.no_decay = True
        self.seen = float(self.embed.weight.sum())


class LoadsFile(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.fc.load_state_dict(torch.load(path, weights_only=True))


class Cyclic(nn.Module):
    """Keeps more than tensors, and some of them beside its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, Any] = {"mask": torch.ones(3), "parts": [torch.zeros(2), "text"]}
        self.cache["all"] = self.cache
        self.scale = self.cache["mask"].sum().item()


ODD = [
    ReadsRates, ReadsNumpy, ReadsWeights, Tied, Cyclic, lambda: nn.LSTM(4, 4),
    lambda: nn.utils.spectral_norm(nn.Linear(8, 8)),
    lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
    lambda: nn.utils.parametrizations.orthogonal(nn.Linear(8, 8)),
]  # fmt: skip


@pytest.mark.parametrize("factory", ODD)
def test_constructors_that_need_values_are_built_and_leave_none(empty: Make, registry: Registry, factory: Any) -> None:
    registry.register_module("odd", factory)
    model = empty(sequential({"_type_": "odd"}))

    assert model_summary(model)["parameters"] == sum(each.numel() for each in factory().parameters())
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_weights_that_are_shared_stay_so_with_what_was_set_on_them(empty: Make, registry: Registry) -> None:
    registry.register_module("tied", Tied)
    (tied,) = empty(sequential({"_type_": "tied"})).layers

    assert tied.head.weight is tied.embed.weight
    assert tied.embed.weight.no_decay


def test_a_constructor_may_load_a_file(empty: Make, registry: Registry, tmp_path, recwarn) -> None:
    torch.save(nn.Linear(8, 8).state_dict(), tmp_path / "weights.pt")
    registry.register_module("loads", LoadsFile)

    assert empty(sequential({"_type_": "loads", "path": str(tmp_path / "weights.pt")})).layers[0].fc.weight.is_meta
    assert not recwarn.list
    with pytest.raises(ConfigError, match="No such file"):
        empty(sequential({"_type_": "loads", "path": "nowhere.pt"}))


def test_only_what_fails_with_numbers_too_is_wrong(empty: Make, registry: Registry) -> None:
    built = []

    def picky(width: int) -> nn.Module:
        built.append(nn.Linear(width, width))
        if built[-1].weight.is_meta or width > 8:
            raise ValueError("width is at most 8")
        return built[-1]

    registry.register_module("picky", picky)
    assert model_summary(empty(sequential({"_type_": "picky", "width": 8})))["parameters"] == 72
    with pytest.raises(ConfigError) as error:
        empty(sequential({"_type_": "nn.Identity"}, {"_type_": "picky", "width": 9}))
    (finding,) = error.value.findings
    assert finding.config_path == ("model", "sequential", "layers", 1, "width")


def test_nothing_is_drawn_from_any_generator(empty: Make, registry: Registry) -> None:
    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, int(4 + 0 * torch.randn(1, device="cpu").item() + 0 * np.random.rand()))
            self.norm = float(self.fc.weight.norm()) + random.random()  # noqa: S311 - what is tested
            nn.init.trunc_normal_(self.fc.weight)
            self.fc.bias.data.normal_()

    registry.register_module("draws", Draws)

    def numbers() -> tuple[float, ...]:
        return torch.rand(1).item(), float(np.random.rand()), random.random()  # noqa: S311 - what is tested

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    empty(sequential({"_type_": "draws"}, {"_type_": "mlp", "dims": [4, 8, 4], "dropout": 0.1}))
    after = numbers()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])

    assert numbers() == after


def test_lazy_widths_stay_open(empty: Make) -> None:
    model = empty(sequential({"_type_": "mlp", "dims": [None, 8, 4]}))

    assert has_lazy(model)
    assert model_summary(model)["parameters"] == 8 * 4 + 4


def test_a_model_larger_than_any_memory_is_built(empty: Make) -> None:
    """A petabyte of parameters, a layer of which could not be allocated."""
    wide = {"_type_": "nn.Linear", "in_features": 2**24, "out_features": 2**24}

    assert model_summary(empty(sequential(wide)))["parameters"] == 2**48 + 2**24


def test_the_same_holds_for_one_that_reads_values(empty: Make, registry: Registry) -> None:
    registry.register_module("deep", ReadsRates)
    model = empty(sequential({"_type_": "deep", "width": 2**24}))

    assert model_summary(model)["parameters"] == 3 * (2**48 + 2**24)
