"""Inputs of a model that may be left out: what stands for them then, and what is told where one cannot be."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch

from otrainer.model import build_model

X, MASK = torch.linspace(-1, 1, 6).reshape(2, 3), torch.tensor([[0.0, 1.0, 1.0]])
STEPS = [{"call": "op:masked", "args": ["$x", "$mask"], "out": "y"}]


def masked(x, mask=None):
    return x if mask is None else x * mask


@pytest.fixture(autouse=True)
def with_op(registry):
    registry.register_op("masked", masked)


def graph(inputs, steps=STEPS, outputs=("y",)):
    return {"graph": {"inputs": inputs, "steps": steps, "outputs": list(outputs)}}


def values(*inputs):
    """A graph that returns its inputs."""
    names = [name for each in inputs for name in ([each] if isinstance(each, str) else each)]
    return graph(list(inputs), [{"call": "op:identity", "args": ["$x"], "out": "same"}], names)


def test_an_input_with_a_default_may_be_left_out(make):
    model = make(graph(["x", {"mask": None}]))
    assert model.code.startswith("def forward(self, x, mask = None):\n")
    assert model.inputs == ["x", "mask"]
    assert model.optional_inputs == {"mask": None}
    for given in ({"mask": MASK}, {}):
        assert torch.equal(model(x=X, **given), masked(X, **given))
    assert torch.equal(model(X, MASK), X * MASK)


@pytest.mark.parametrize("default", [None, True, 3, 0.5, -1e-9, "sum", "it's", ""])
def test_a_default_is_the_value_that_the_config_writes(make, default):
    found = make(values("x", {"y": default}))(X)[1]
    assert found == default
    assert type(found) is type(default)


def test_infinities_and_texts_that_begin_with_a_dollar_are_defaults(make):
    _, *found = make(values("x", {"a": float("inf")}, {"b": float("-inf")}, {"c": "$$x"}, {"nan_": float("nan")}))(X)
    assert found[:3] == [float("inf"), float("-inf"), "$x"]
    assert found[3] != found[3]


def test_all_inputs_may_be_optional(make):
    section = graph([{"ids": None}, {"embedded": None}], [{"call": "op:masked", "args": [X.tolist()], "out": "y"}])
    assert make(section)() == X.tolist()


def test_copies_pickles_compilers_and_exporters_know_the_default(make):
    model = make(graph(["x", {"mask": None}]))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own bytes
        assert inspect.signature(twin.forward) == inspect.signature(model.forward)
        assert torch.equal(twin(X), X)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(X), X)
    assert torch.equal(compiled(X, mask=MASK), X * MASK)
    assert torch.equal(torch.export.export(model, (X,)).module()(X), X)
    assert torch.equal(torch.export.export(model, (X, MASK)).module()(X, MASK), X * MASK)


def test_two_defaults_are_two_classes(make):
    ones = [make(values("x", {"y": default})) for default in (1, 1.0, True)]
    assert [type(model(X)[1]) for model in ones] == [int, float, bool]


def test_steps_that_repeat_read_an_optional_input_in_each_turn(make):
    steps = [{"repeat": 2, "of": [{"call": "op:masked", "args": ["$x", "$mask"], "out": "x"}]}]
    model = make(graph(["x", {"mask": None}], steps, ["x"]))
    assert torch.equal(model(X, 2 * MASK), X * 2 * MASK * 2 * MASK)
    assert torch.equal(model(X), X)


def test_each_of_several_models_has_optional_inputs_of_its_own(registry):
    section = {"components": {"encoder": graph(["x", {"mask": None}]), "decoder": values("x", {"y": 2})}}
    model = build_model({"schema_version": 1, "model": section}, registry)
    assert torch.equal(model.encoder(X), X)
    assert model.decoder(X)[1] == 2


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        ([{"mask": None}, "x"], (1,), "The input `x` has no default, and stands behind `mask`, which has one."),
        (["x", {"mask": None, "y": 1}], (1,), "An optional input is one name, not 2."),
        (["x", {"name": "mask", "default": None}], (1,), "An optional input is one name, not 2."),
        (["x", {}], (1,), "An optional input is one name, not 0."),
        (["x", {"mask": {"default": None}}], (1, "mask"), "The default of an input is null, a number, true, false or"),
        (["x", {"mask": [1]}], (1, "mask"), "a text, not a list"),
        (["x", {"mask": "$x"}], (1, "mask"), "`$x` refers to a value"),
        (["x", {"mask": "${secret:TOKEN}"}], (1, "mask"), "secret"),
        (["x", {"class": None}], (1, "class"), "`class` cannot name an input"),
        (["x", {3: None}], (1, 3), "3 cannot name an input"),
        (["x", {"x": None}], (1, "x"), "The input `x` is named twice."),
        ({"x": None, "mask": None}, (), "`inputs` is a list, not a mapping"),
    ],
)
def test_an_optional_input_that_cannot_be_is_told_at_its_place(findings, inputs, path, message):
    steps = [{"call": "op:identity", "args": [1], "out": "y"}]
    (found,) = findings(graph(inputs, steps))
    assert found.config_path == ("model", "graph", "inputs", *path)
    assert message in found.message
    assert found.hint


def test_the_input_of_a_sequential_model_is_always_given(findings):
    (found,) = findings({"sequential": {"inputs": [{"x": None}], "layers": [{"_type_": "nn.ReLU"}]}})
    assert found.config_path == ("model", "sequential", "inputs")
    assert found.hint == "Write the name alone: `inputs: [x]`."
