"""`model.components`: several models by name, whose parts are what they would be alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from otrainer.errors import ConfigError, Finding

LINEAR = {"_type_": "nn.Linear", "in_features": 3, "out_features": 2}
GRAPH = {
    "inputs": ["a", "b"],
    "modules": {"both": {"_type_": "nn.Bilinear", "in1_features": 3, "in2_features": 2, "out_features": 1}},
    "nodes": [{"name": "both", "call": "module:both", "args": ["$a", "$b"], "out": "c"}],
    "outputs": ["$c"],
}
THREE = {"components": {"encoder": {"sequential": {"layers": [LINEAR]}}, "judge": {"graph": GRAPH}, "head": LINEAR}}
Make = Callable[[dict[str, Any]], Any]
Findings = Callable[[object], list[Finding]]


def test_each_part_is_a_model_by_its_name_and_is_saved_under_it(make: Make) -> None:
    model = make(THREE)
    x = torch.randn(4, 3)
    code = model.encoder(x)

    assert [name for name, _ in model.named_children()] == ["encoder", "judge", "head"]
    assert torch.equal(code, model.encoder.layers[0](x))
    assert model.judge(a=x, b=code).shape == (4, 1)
    assert type(model.head) is nn.Linear
    assert list(model.state_dict()) == [
        f"{name}.{kind}" for name in ("encoder.layers.0", "judge.both", "head") for kind in ("weight", "bias")
    ]


def test_parts_are_initialised_in_their_order(make: Make) -> None:
    torch.manual_seed(7)
    model = make(THREE)
    torch.manual_seed(7)
    plain = [nn.Linear(3, 2), nn.Bilinear(3, 2, 1), nn.Linear(3, 2)]
    wanted = [parameter for module in plain for parameter in module.parameters()]

    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), wanted, strict=True))


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301 - ours
def test_copies_and_pickles_are_whole(make: Make, twin: Callable[[Any], Any]) -> None:
    model = make(THREE)
    other, x = twin(model), torch.randn(4, 3)

    assert torch.equal(other.judge(x, other.encoder(x)), model.judge(x, model.encoder(x)))


def test_nothing_calls_them_as_one(make: Make) -> None:
    with pytest.raises(ConfigError, match="has the parts `encoder`, `judge`, `head`, and no forward pass"):
        make(THREE)(torch.randn(4, 3))


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ({"components": {}}, ("model", "components"), "at least one"),
        ({"components": {"a": 3}}, ("model", "components", "a"), "`a` is a mapping, not"),
        ({"components": {"a": {}}}, ("model", "components", "a"), "written as `sequential` or as `graph`"),
        (
            {"components": {"a": {"components": {"b": LINEAR}}}},
            ("model", "components", "a", "components"),
            "no key `components`",
        ),
        ({"components": {"forward": LINEAR}}, ("model", "components", "forward"), "cannot name a module"),
        (
            {"components": {"a": {"sequential": {"layers": [{"_type_": "nn.Linaer"}]}}}},
            ("model", "components", "a", "sequential", "layers", 0, "_type_"),
            "nn.Linaer",
        ),
        ({**THREE, "graph": GRAPH}, ("model", "components"), "either `graph` or `components`"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(
    findings: Findings, section: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    found = [each for each in findings(section) if message in each.message]

    assert [each.config_path for each in found] == [path]
