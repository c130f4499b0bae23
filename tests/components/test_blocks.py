"""The built-in blocks and ops."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from otrainer.components.blocks import conv_bn_act, mlp, residual_block
from otrainer.components.ops import add, cat, getitem, identity, mul, stack
from otrainer.errors import ConfigError
from otrainer.registry import build_registry, check_value, instantiate_value

X = torch.randn(2, 4, 8, 8)


def kinds(module):
    return [type(part).__name__ for part in module]


def test_an_mlp_has_activation_and_dropout_between_its_layers_only():
    assert kinds(mlp([3, 4, 5, 2], dropout=0.1)) == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert kinds(mlp([3, 4, 2], activation=None, final_activation="Tanh")) == ["Linear", "Linear", "Tanh"]
    assert all(layer.bias is None for layer in mlp([3, 4, 2], bias=False) if isinstance(layer, nn.Linear))


def test_a_null_first_width_waits_for_the_first_batch():
    block = mlp([None, 4, 2])
    assert kinds(block) == ["LazyLinear", "ReLU", "Linear"]
    assert block(torch.ones(5, 7)).shape == (5, 2)


@pytest.mark.parametrize("name", ["relu", "ReLU", "nn.ReLU", "RELU"])
def test_activations_are_named_as_torch_names_them_or_in_lower_case(name):
    assert kinds(mlp([1, 2, 3], activation=name))[1] == "ReLU"
    assert kinds(mlp([1, 2, 3], activation="leaky_relu"))[1] == "LeakyReLU"


def test_an_activation_and_a_norm_may_be_any_module_each_with_weights_of_its_own():
    block = mlp([1, 2, 3, 4], activation=nn.PReLU(num_parameters=1, init=0.5), final_activation=nn.Softmax(dim=-1))
    assert kinds(block) == ["Linear", "PReLU", "Linear", "PReLU", "Linear", "Softmax"]
    assert block[1].weight is not block[3].weight
    conv = conv_bn_act(4, 6, norm=nn.GroupNorm(3, 6), act=nn.GELU(approximate="tanh"))
    assert kinds(conv) == ["Conv2d", "GroupNorm", "GELU"]
    assert conv[2].approximate == "tanh"
    assert conv[0].bias is None
    residual = residual_block(4, act=nn.PReLU())
    assert residual.act[0].weight is not residual.body[2].weight


def test_an_activation_in_a_config_is_a_name_or_a_spec():
    layer = {"_type_": "mlp", "dims": [2, 3, 1], "activation": {"_type_": "nn.GELU", "approximate": "tanh"}}
    built = instantiate_value(layer, registry=build_registry())
    assert (type(built[1]), built[1].approximate) == (nn.GELU, "tanh")
    (finding,) = check_value(
        {**layer, "activation": {"_type_": "nn.GELU", "aproximate": "x"}}, registry=build_registry()
    )
    assert finding.config_path == ("activation", "aproximate")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": [1, 2, 3], "activation": "None"}, "no activation `None`. Did you mean `null`"),
        ({"dims": [3]}, "at least two widths"),
        ({"dims": 3}, "at least two widths"),
        ({"dims": "34"}, "at least two widths"),
        ({"dims": [3, None]}, r"`dims\[1\]` is a positive whole number, not None"),
        ({"dims": [0, 1]}, r"`dims\[0\]` is a positive whole number, not 0"),
        ({"dims": [1, True]}, r"`dims\[1\]` is a positive whole number, not True"),
        ({"dims": [1, 2.0]}, r"not 2.0"),
        ({"dims": [1, 2, 3], "activation": "rleu"}, "no activation `rleu`. Did you mean `relu`"),
        ({"dims": [1, 2], "final_activation": "nope"}, "no activation `nope`"),
        ({"dims": [1, 2, 3], "activation": 3}, "no activation `3`"),
    ],
)
def test_what_an_mlp_cannot_be_is_refused_in_words(arguments, message):
    with pytest.raises((ValueError, ConfigError), match=message):
        mlp(**arguments)


@pytest.mark.parametrize("kernel", [1, 3, 5, [3, 1]])
def test_conv_bn_act_keeps_height_and_width_unless_told_otherwise(kernel):
    assert conv_bn_act(4, 6, kernel)(X).shape == (2, 6, 8, 8)
    assert conv_bn_act(4, 6, 3, stride=2)(X).shape == (2, 6, 4, 4)
    assert conv_bn_act(4, 6, 3, padding=0)(X).shape == (2, 6, 6, 6)
    assert conv_bn_act(4, 6, 3, padding="same")(X).shape == (2, 6, 8, 8)


def test_the_convolution_has_a_bias_only_without_a_norm():
    assert kinds(conv_bn_act(4, 6)) == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert conv_bn_act(4, 6)[0].bias is None
    assert kinds(conv_bn_act(4, 6, norm=None, act=None)) == ["Conv2d"]
    assert conv_bn_act(4, 6, norm=None)[0].bias is not None


def test_conv_bn_act_may_wait_for_its_channels():
    block = conv_bn_act(None, 6)
    assert kinds(block)[0] == "LazyConv2d"
    assert block(X).shape == (2, 6, 8, 8)


@pytest.mark.parametrize(
    ("norm", "kind"), [("group", "GroupNorm"), ("instance", "InstanceNorm2d"), ("layer", "GroupNorm")]
)
def test_other_norms_by_name(norm, kind):
    block = conv_bn_act(4, 24, norm=norm)
    assert kinds(block)[1] == kind
    assert block(X).shape == (2, 24, 8, 8)
    with pytest.raises(ConfigError, match="Did you mean `batch`"):
        conv_bn_act(4, 6, norm="bath")


def test_a_residual_block_adds_its_input_and_projects_it_only_where_shapes_differ():
    plain, wider, strided = residual_block(4), residual_block(4, 6), residual_block(4, stride=2)
    assert (plain(X).shape, wider(X).shape, strided(X).shape) == ((2, 4, 8, 8), (2, 6, 8, 8), (2, 4, 4, 4))
    assert isinstance(plain.shortcut, nn.Identity)
    assert wider.shortcut[0].kernel_size == (1, 1)
    assert torch.equal(plain(X), torch.relu(plain.body(X) + X))
    assert all(conv.bias is None for conv in wider.modules() if isinstance(conv, nn.Conv2d))


def test_channels_and_strides_are_checked():
    for wrong in ({"in_channels": 0}, {"in_channels": 3, "out_channels": -1}, {"in_channels": 3, "stride": 0}):
        with pytest.raises(ValueError, match="a positive whole number"):
            residual_block(**wrong)


def test_a_block_that_cannot_be_is_told_at_its_place(make):
    with pytest.raises(ConfigError) as caught:
        make(
            {
                "sequential": {
                    "layers": [{"_type_": "nn.ReLU"}, {"_type_": "mlp", "dims": [1, 2, 3], "activation": "sigmod"}]
                }
            }
        )
    assert caught.value.config_path == ("model", "sequential", "layers", 1, "activation")
    assert caught.value.suggestions[0] == "sigmoid"


def test_ops_do_what_torch_does():
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    assert torch.equal(add(a, b, 1), a + b + 1)
    assert torch.equal(mul(a, b, 2), a * b * 2)
    assert torch.equal(cat(a, b, dim=1), torch.cat([a, b], 1))
    assert torch.equal(cat([a, b], 1), cat(tensors=[a, b], dim=1))
    assert torch.equal(cat(a, b), torch.cat([a, b]))
    assert torch.equal(stack([a, b], dim=-1), torch.stack([a, b], -1))
    assert getitem({"k": 3}, "k") == 3
    assert torch.equal(getitem(a, 0), a[0])
    assert identity(a) is a
