"""`model.sequential` from the section to outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

LINEAR = {"_type_": "nn.Linear", "in_features": 3, "out_features": 2}
MLP = {"_type_": "mlp", "dims": [3, 4, 2]}


def test_layers_run_one_after_the_other(make):
    model = make({"sequential": {"layers": [MLP, {"_type_": "nn.Tanh"}]}})
    x = torch.randn(5, 3)
    assert torch.equal(model(x), torch.tanh(model.layers[0](x)))


def test_the_input_is_x_unless_named_and_goes_by_name_or_position(make):
    assert make({"sequential": {"layers": [LINEAR]}}).inputs == ["x"]
    model = make({"sequential": {"inputs": ["input"], "layers": [LINEAR]}})
    x = torch.randn(2, 3)
    assert model.inputs == ["input"]
    assert torch.equal(model(x), model(input=x))


def test_weights_are_named_by_the_index_of_their_layer(make):
    model = make({"sequential": {"layers": [LINEAR, {"_type_": "nn.ReLU"}, {"_type_": "nn.Linear", "_args_": [2, 1]}]}})
    assert list(model.state_dict()) == ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]


def test_layers_are_initialised_in_their_order(make):
    torch.manual_seed(7)
    model = make({"sequential": {"layers": [LINEAR, {"_type_": "nn.Linear", "_args_": [2, 1]}]}})
    torch.manual_seed(7)
    plain = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize(("form", "kind"), [("single", torch.Tensor), ("tuple", tuple), ("dict", dict)])
def test_return_decides_the_form_of_the_result(make, form, kind):
    result = make({"sequential": {"layers": [LINEAR], "return": form}})(torch.randn(2, 3))
    assert isinstance(result, kind)
    if form == "dict":
        assert list(result) == ["output"]


def test_an_input_may_have_the_name_of_a_generated_value(make):
    model = make({"sequential": {"inputs": ["layer_0"], "layers": [LINEAR, {"_type_": "nn.ReLU"}]}})
    x = torch.randn(2, 3)
    assert torch.equal(model(layer_0=x), torch.relu(model.layers[0](x)))


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ({}, (), "needs `layers`"),
        ({"layers": []}, ("layers",), "at least one layer"),
        ({"layers": {"a": LINEAR}}, ("layers",), "a list, not a mapping"),
        ({"layers": [LINEAR], "inputs": ["x", "y"]}, ("inputs",), "exactly one input"),
        ({"layers": [LINEAR], "inputs": []}, ("inputs",), "at least one input"),
        ({"layers": [LINEAR], "inputs": "x"}, ("inputs",), "a list, not a string"),
        ({"layers": [LINEAR], "inputs": ["class"]}, ("inputs", 0), "a word of the Python language"),
        ({"layers": [LINEAR], "inputs": ["self"]}, ("inputs", 0), "the generated code uses it"),
        ({"layers": [LINEAR], "inputs": ["1x"]}, ("inputs", 0), "no identifier"),
        ({"layers": [LINEAR], "inputs": [3]}, ("inputs", 0), "a name is a string"),
        ({"layers": [LINEAR], "return": "lits"}, ("return",), "no way to return `lits`"),
        ({"layers": ["nn.ReLU"]}, ("layers", 0), "a mapping with `_type_`, not a string"),
        ({"layers": [{"dims": [1, 2]}]}, ("layers", 0), "needs a `_type_`"),
        ({"layers": [{"_type_": "nn.Linear", "in_features": 3}]}, ("layers", 0), "needs the argument `out_features`"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(findings, section, path, message):
    (finding,) = findings({"sequential": section})
    assert finding.config_path == ("model", "sequential", *path)
    assert message in finding.message


def test_an_unknown_key_points_to_the_key_and_knows_what_was_meant(findings):
    (finding,) = findings({"sequential": {"layers": [LINEAR], "input": ["x"]}})
    assert (finding.on_key, finding.config_path[-1], finding.suggestions) == (True, "input", ("inputs",))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "written as `sequential` or as `graph`"),
        (None, "`model` is a mapping, not null"),
        ([1], "`model` is a mapping, not a list"),
        ({"sequential": None}, "`sequential` is a mapping, not null"),
    ],
)
def test_a_model_must_be_one_of_the_two_forms(findings, model, message):
    assert message in findings(model)[0].message


def test_both_forms_at_once_are_refused(findings):
    graph = {"inputs": ["x"], "nodes": [{"name": "a", "call": "op:identity", "args": ["$x"]}], "outputs": ["a"]}
    (finding,) = findings({"sequential": {"layers": [LINEAR]}, "graph": graph})
    assert "not both" in finding.message


def test_findings_of_layers_and_section_come_together(findings):
    layers = [{"_type_": "nn.Linaer"}, {"_type_": "mlp", "dims": [1, 2], "dropuot": 0.1}]
    found = findings({"sequential": {"layers": layers, "retrun": "single"}})
    assert [finding.suggestions[0] for finding in found] == ["return", "nn.Linear", "dropout"]


SQUARE = {"_type_": "nn.Linear", "in_features": 3, "out_features": 3}
DEEP = [SQUARE, {"repeat": 2, "of": [SQUARE, {"_type_": "nn.Tanh"}]}, {"repeat": 3, "of": SQUARE}, LINEAR]


def test_what_repeats_is_numbered_and_initialised_as_if_it_were_written_out(make):
    torch.manual_seed(7)
    model = make({"sequential": {"layers": DEEP}})
    torch.manual_seed(7)
    square = [nn.Linear(3, 3) for _ in range(6)]
    plain = nn.Sequential(square[0], square[1], nn.Tanh(), square[2], nn.Tanh(), *square[3:], nn.Linear(3, 2))
    numbers, expected = model.state_dict(), plain.state_dict()
    assert list(numbers) == [f"layers.{name}" for name in expected]
    assert all(torch.equal(numbers[f"layers.{name}"], value) for name, value in expected.items())
    x = torch.randn(4, 3)
    assert torch.equal(model(x), plain(x))


def test_copies_of_what_repeats_share_no_weights(make):
    model = make({"sequential": {"layers": [{"repeat": 3, "of": SQUARE}]}})
    assert len({weight.data_ptr() for weight in model.parameters()}) == 6


def test_a_mistake_in_what_repeats_is_told_once(findings):
    (finding,) = findings({"sequential": {"layers": [{"repeat": 50, "of": {"_type_": "nn.Linaer"}}]}})
    assert finding.config_path[:5] == ("model", "sequential", "layers", 0, "of")
    assert finding.suggestions[0] == "nn.Linear"


@pytest.mark.parametrize(
    ("layer", "path", "message"),
    [
        ({"repeat": 2}, (), "needs `of`"),
        ({"repeat": 2, "of": []}, ("of",), "no layer to repeat"),
        ({"repeat": 2, "of": LINEAR, "off": 1}, ("off",), "no key `off`"),
        ({"repeat": 0, "of": LINEAR}, ("repeat",), "from 1 to"),
        ({"repeat": 10**9, "of": LINEAR}, ("repeat",), "from 1 to"),
        ({"repeat": True, "of": LINEAR}, ("repeat",), "a whole number"),
        ({"repeat": "6", "of": LINEAR}, ("repeat",), "a whole number"),
        ({"repeat": 2, "of": {"repeat": 2, "of": LINEAR}}, ("of", "repeat"), "holds nothing that repeats"),
        ({"repeat": 2, "of": "nn.ReLU"}, ("of",), "a mapping with `_type_`, not a string"),
    ],
)
def test_what_cannot_repeat_is_told_with_its_place(findings, layer, path, message):
    (finding,) = findings({"sequential": {"layers": [layer]}})
    assert finding.config_path == ("model", "sequential", "layers", 0, *path)
    assert message in finding.message
