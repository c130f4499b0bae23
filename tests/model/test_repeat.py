"""Modules and calls of a graph that repeat: what they compute, what they are called, and what is told of mistakes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

NORM = {"_type_": "nn.LayerNorm", "normalized_shape": 4}
FC = {"_type_": "nn.Linear", "in_features": 4, "out_features": 4}
HEAD = {"_type_": "nn.Linear", "in_features": 4, "out_features": 2}
ATTENTION = {"_type_": "nn.MultiheadAttention", "embed_dim": 4, "num_heads": 2, "batch_first": True}
BLOCK = [
    {"call": "module:norm", "args": ["$x"], "out": "normed"},
    {"call": "module:attention", "args": ["$normed"] * 3, "out": ["attended", "_"]},
    {"call": "op:add", "args": ["$x", "$attended"], "out": "x"},
]


def graph(*steps: Any, outputs: Any = ("$x",), **modules: Any) -> dict[str, Any]:
    parts = {"inputs": ["x"], "modules": modules, "steps": list(steps), "outputs": outputs}
    return {"graph": {name: list(part) if isinstance(part, tuple) else part for name, part in parts.items()}}


def times(number: Any, of: Any, **more: Any) -> dict[str, Any]:
    return {"repeat": number, "of": of, **more}


def stack(depth: int = 3, **more: Any) -> dict[str, Any]:
    head = {"call": "module:head", "args": ["$x"], "out": "y"}
    modules = {"norm": times(depth, NORM), "attention": times(depth, ATTENTION), "head": HEAD}
    return graph(times(depth, BLOCK), head, outputs=["$y"], **modules, **more)


class Stack(nn.Module):
    """The same by hand."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.norm = nn.ModuleList(nn.LayerNorm(4) for _ in range(depth))
        self.attention = nn.ModuleList(nn.MultiheadAttention(4, 2, batch_first=True) for _ in range(depth))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm, attention in zip(self.norm, self.attention, strict=True):
            normed = norm(x)
            x = x + attention(normed, normed, normed)[0]
        return self.head(x)


def test_blocks_that_repeat_are_what_a_loop_over_module_lists_is_to_the_bit(make):
    torch.manual_seed(5)
    built = make(stack())
    torch.manual_seed(5)
    by_hand = Stack(3)
    assert list(built.state_dict()) == list(by_hand.state_dict())
    x = torch.randn(2, 5, 4)
    for each in (built, by_hand):
        each(x).square().sum().backward()
    assert torch.equal(built(x), by_hand(x))
    pairs = zip(built.parameters(), by_hand.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_copies_of_such_a_model_are_whole(make, twin):
    model, x = make(stack()), torch.randn(2, 5, 4)
    assert torch.equal(twin(model)(x), model(x))


def test_such_a_model_is_exported_and_compiled_whole(make):
    model, x = make(stack(2)).eval(), torch.randn(2, 5, 4)
    assert torch.allclose(torch.export.export(model, (x,)).module()(x), model(x))
    assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


def test_a_module_that_does_not_repeat_is_one_for_all_turns(make):
    model, x = make(graph(times(3, {"call": "module:fc", "args": ["$x"], "out": "x"}), fc=FC)), torch.randn(2, 4)
    assert list(model.state_dict()) == ["fc.weight", "fc.bias"]
    assert torch.equal(model(x), model.fc(model.fc(model.fc(x))))


def test_one_of_several_copies_may_be_called_by_its_number(make):
    steps = [{"call": f"module:fc.{number}", "args": ["$x"], "out": f"y{number}"} for number in (1, 0)]
    model, x = make(graph(*steps, outputs=["y0", "y1"], fc=times(2, FC))), torch.randn(2, 4)
    assert all(torch.equal(got, layer(x)) for got, layer in zip(model(x), model.fc, strict=True))


def test_stacks_follow_each_other_and_names_keep_apart(make):
    once = {"call": "module:fc", "args": ["$x"], "out": "x"}
    other = {"name": "x", "call": "module:fc", "args": ["$x"]}
    own = {"call": "op:mul", "args": ["$x", 2], "out": "x_1"}
    model = make(graph(times(2, once), own, times(2, once), outputs={"x": "x", "own": "x_1"}, fc=times(2, FC)))
    x, (first, second) = torch.randn(2, 4), model.fc
    halfway = second(first(x))
    assert torch.equal(model(x)["own"], halfway * 2)
    assert torch.equal(model(x)["x"], second(first(halfway)))

    nodes = {"inputs": ["x"], "modules": {"fc": times(2, FC)}, "nodes": [times(2, [other])], "outputs": ["x"]}
    assert make({"graph": nodes})(x).shape == (2, 4)


def test_what_a_turn_picks_is_its_own(make, registry):
    registry.register_op("halves", lambda x: {"low": x - 1, "high": x + 1})
    split = {"call": "op:halves", "args": ["$x"], "out": {"low": "low", "x": "high"}}
    low, high = make(graph(times(3, [split]), outputs=["low", "x"]))(torch.zeros(1))
    assert (float(low), float(high)) == (1, 3)


@pytest.mark.parametrize(
    ("steps", "path", "said"),
    [
        (
            [times(2, BLOCK[:1])],
            ("steps", 0, "of", 0, "call"),
            "`norm` has 3 copies, and what calls it repeats 2 times",
        ),
        ([BLOCK[0]], ("steps", 0, "call"), "`norm` repeats: there are `norm.0` to `norm.2`"),
        ([times(3, [{**BLOCK[0], "args": ["$z"]}])], ("steps", 0, "of", 0, "args", 0), "no value `z`"),
        (
            [times(3, [{**BLOCK[0], "args": ["$b"]}, {**BLOCK[0], "out": "b"}])],
            ("steps", 0, "of", 0, "args", 0),
            "later",
        ),
        ([times(3, [BLOCK[0], BLOCK[0]])], ("steps", 0, "of", 1, "out"), "`normed` is taken"),
        ([times(3, BLOCK[:1]), {**BLOCK[0], "call": "module:norm.0"}], ("steps", 1, "out"), "`normed` is taken"),
        ([times(3, [{**BLOCK[0], "kwargs": {"inptu": 1}}])], ("steps", 0, "of", 0, "kwargs", "inptu"), "inptu"),
        ([times(3, [{**BLOCK[0], "call": "module:norm.7"}])], ("steps", 0, "of", 0, "call"), "no module `norm.7`"),
        ([times(3, [])], ("steps", 0, "of"), "no step to repeat"),
        ([times(3, [times(3, BLOCK)])], ("steps", 0, "of", 0, "repeat"), "holds nothing that repeats"),
        ([times(0, BLOCK[:1])], ("steps", 0, "repeat"), "from 1 to"),
        ([times(3, [{"call": "module:norm", "args": ["$x"]}])], ("steps", 0, "of", 0), "needs `out`"),
        ([times(3, BLOCK[:1], out="x")], ("steps", 0, "out"), "A step that repeats has no key `out`"),
        ([{"repeat": 3}], ("steps", 0), "needs `of`"),
    ],
)
def test_a_mistake_in_steps_that_repeat_is_told_once_at_its_place(findings, steps, path, said):
    found = findings(graph(*steps, norm=times(3, NORM)))
    assert [each for each in found if each.config_path == ("model", "graph", *path) and said in each.message]
    assert len({(each.config_path, each.message) for each in found}) == len(found)


@pytest.mark.parametrize(
    ("module", "path", "said"),
    [
        (times("6", NORM), ("repeat",), "a whole number"),
        (times(2, [NORM]), ("of",), "a mapping with `_type_`, not a list"),
        (times(50, {"_type_": "nn.LayrNorm"}), ("of", "_type_"), "nn.LayrNorm"),
        (times(2, times(2, NORM)), ("of", "repeat"), "holds nothing that repeats"),
    ],
)
def test_a_mistake_in_a_module_that_repeats_is_told_once(findings, module, path, said):
    (finding,) = findings(graph(BLOCK[2] | {"args": ["$x", "$x"], "out": "y"}, norm=module))
    assert finding.config_path == ("model", "graph", "modules", "norm", *path)
    assert said in finding.message
