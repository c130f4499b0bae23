"""Layers that are written with the arguments of their call, and with what of their result goes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

ATTENTION = {"_type_": "nn.MultiheadAttention", "embed_dim": 8, "num_heads": 2, "batch_first": True}
LSTM = {"_type_": "nn.LSTM", "input_size": 8, "hidden_size": 8, "batch_first": True}


def model(*layers: Any, **more: Any) -> dict[str, Any]:
    return {"sequential": {"layers": list(layers), **more}}


def attending(**kwargs: Any) -> dict[str, Any]:
    return {"layer": ATTENTION, "args": ["$x", "$x", "$x"], "kwargs": kwargs, "pick": 0}


def test_attention_is_a_layer_and_its_first_result_goes_on(make):
    attention, head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)
    x = torch.randn(2, 5, 8)

    torch.manual_seed(0)
    built = make(model(attending(need_weights=False), {"_type_": "nn.Linear", "_args_": [8, 3]}))
    assert torch.equal(built(x), head(attention(x, x, x, need_weights=False)[0]))
    assert [name.split(".")[1] for name in built.state_dict()] == ["0"] * 4 + ["1"] * 2


def test_layers_that_are_called_repeat(make):
    built = make(model({"repeat": 3, "of": [attending()]}))
    x = torch.randn(2, 5, 8)
    expected = x
    for layer in built.layers:
        expected, _ = layer(expected, expected, expected)
    assert torch.equal(built(x), expected)


def test_a_recurrent_layer_passes_its_states_on(make):
    built = make(model({"layer": LSTM, "pick": 0}))
    x = torch.randn(2, 5, 8)
    assert torch.equal(built(x), built.layers[0](x)[0])


@pytest.mark.parametrize(
    ("layer", "path", "said"),
    [
        (ATTENTION, (), "needs the argument `key`"),
        ({"layer": ATTENTION, "args": ["$x"]}, (), "`key`"),
        ({**attending(), "kwargs": {"need_weight": False}}, ("kwargs", "need_weight"), "no argument `need_weight`"),
        ({**attending(), "args": ["$y", "$x", "$x"]}, ("args", 0), "no value `y`"),
        ({**attending(), "pick": 1.5}, ("pick",), "a key or an index"),
        ({**attending(), "picks": 1}, ("picks",), "no key `picks`"),
    ],
)
def test_what_does_not_fit_a_layer_is_told_at_its_place_once(findings, layer, path, said):
    found = findings(model({"repeat": 3, "of": layer}))
    assert found
    assert found[0].config_path == ("model", "sequential", "layers", 0, "of", *path)
    assert said in found[0].message
    assert len({(each.config_path, each.message) for each in found}) == len(found)


GRAPH_MODULES = {"attention": ATTENTION}


def test_a_graph_leaves_what_it_does_not_read_unnamed_and_masks_by_name(make):
    call = {"call": "module:attention", "args": ["$x"] * 3, "kwargs": {"key_padding_mask": "$mask"}, "out": ["y", "_"]}
    built = make({"graph": {"inputs": ["x", "mask"], "modules": GRAPH_MODULES, "steps": [call], "outputs": ["y"]}})
    x, mask = torch.randn(2, 5, 8), torch.tensor([[False] * 3 + [True] * 2, [False] * 5])
    other = torch.where(mask[..., None], torch.randn(2, 5, 8), x)
    attended, _ = built.attention(x, other, other, key_padding_mask=mask)

    assert torch.equal(built(x, mask), built.attention(x, x, x, key_padding_mask=mask)[0])
    assert torch.allclose(built(x, mask), attended, atol=1e-6)


def test_several_parts_may_be_left_unnamed_and_none_can_be_read(make, findings):
    steps = [{"call": "op:torch.unbind", "args": ["$x"], "out": ["_", "y", "_"]}]
    built = make({"graph": {"inputs": ["x"], "steps": steps, "outputs": ["y"]}})
    x = torch.randn(3, 2)
    assert torch.equal(built(x), x[1])

    (found,) = findings({"graph": {"inputs": ["x"], "steps": steps, "outputs": ["_"]}})
    assert "no value `_`" in found.message


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_an_op_with_masks_and_causality(make, causal):
    kwargs = {"is_causal": True} if causal else {"attn_mask": "$mask"}
    step = {"call": "op:F.scaled_dot_product_attention", "args": ["$x"] * 3, "kwargs": kwargs, "out": "y"}
    built = make({"graph": {"inputs": ["x", "mask"], "steps": [step], "outputs": ["y"]}})
    x, mask = torch.randn(2, 2, 5, 4), torch.ones(5, 5).tril().bool()
    expected = nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)
    assert torch.allclose(built(x, mask), expected, atol=1e-6)
