"""The built-in blocks: small networks that are written often."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from otrainer.errors import ConfigError, is_whole, nearest

ACTIVATIONS = (
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
    "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "RReLU", "SELU", "SiLU", "Sigmoid", "Softmax",
    "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
)  # fmt: skip
NORMS = ("batch", "group", "instance", "layer")


def mlp(
    dims: Sequence[int | None],
    activation: str | nn.Module | None = "relu",
    dropout: float = 0.0,
    bias: bool = True,
    final_activation: str | nn.Module | None = None,
) -> nn.Sequential:
    """Linear layers from `dims[0]` to `dims[-1]`, with activation and dropout between two of them.

    `dims` are the widths: of the input, of what is between the layers, of the output; a null first width is taken from
    the first batch. `activation` follows each layer but the last, which `final_activation` follows: names of torch.nn's
    classes or their lower case, or specs of any module, each with weights of its own wherever it stands; null is none.
    After each activation between two layers, `dropout` is the probability that a number becomes zero. `bias` says
    whether the layers have one.

    Raises:
        ValueError: fewer than two widths, or a width that is no positive whole number.
        ConfigError: an unknown activation.
    """
    widths = checked_widths(dims)
    activated("activation", activation)  # one that is unknown is told also where none stands
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(zip(dims, widths, strict=False)):
        layers.append(nn.LazyLinear(after, bias=bias) if before is None else nn.Linear(before, after, bias=bias))
        if index < len(widths) - 1:
            layers += activated("activation", activation)
            layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, *activated("final_activation", final_activation))


def checked_widths(dims: Sequence[int | None]) -> list[int]:
    """Return all widths but the first, after checking every one."""
    if isinstance(dims, str) or not isinstance(dims, Sequence) or len(dims) < 2:
        raise ValueError(f"`dims` lists at least two widths, an input's and an output's, not {dims!r}")
    if dims[0] is not None:
        positive("dims[0]", dims[0])
    return [positive(f"dims[{index}]", width) for index, width in enumerate(dims[1:], start=1)]


def conv_bn_act(
    in_channels: int | None,
    out_channels: int,
    kernel_size: int | Sequence[int] = 3,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str | None = None,
    norm: str | nn.Module | None = "batch",
    act: str | nn.Module | None = "relu",
) -> nn.Sequential:
    """Build a 2d convolution, a norm and an activation; null `in_channels` are taken from the first batch.

    There are `out_channels` afterwards; `kernel_size` and `stride`, in pixels, are as in nn.Conv2d. `norm` is one of
    batch, group, instance and layer, or a spec of any module; `act` is an activation's name, or a spec; null is none.

    Without `padding`, half the kernel is padded, so that stride 1 keeps height and width for odd kernels. The
    convolution has a bias only where no norm follows.

    Raises:
        ValueError: channels that are no positive whole numbers.
        ConfigError: an unknown norm or activation.
    """
    channels = positive("out_channels", out_channels)
    kernel = pair(kernel_size)
    pad = (kernel[0] // 2, kernel[1] // 2) if padding is None else padding
    padded = pad if isinstance(pad, str) else pair(pad)
    shape: dict[str, Any] = {"kernel_size": kernel, "stride": pair(stride), "padding": padded, "bias": norm is None}
    if in_channels is None:
        conv: nn.Conv2d = nn.LazyConv2d(channels, **shape)
    else:
        conv = nn.Conv2d(positive("in_channels", in_channels), channels, **shape)
    return nn.Sequential(conv, *normed(norm, channels), *activated("act", act))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to the input, which a 1x1 convolution fits to it where they differ."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, act: str | nn.Module | None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn_act(in_channels, out_channels, stride=stride, act=act),
            *conv_bn_act(out_channels, out_channels, act=None),
        )
        same = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn_act(in_channels, out_channels, 1, stride, act=None)
        self.act = nn.Sequential(*activated("act", act))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.body(x) + self.shortcut(x))
        return y


def residual_block(
    in_channels: int, out_channels: int | None = None, stride: int = 1, act: str | nn.Module | None = "relu"
) -> ResidualBlock:
    """Build a residual block (He et al., 2015); without `out_channels` it keeps the number of channels.

    `in_channels` is the number that the input has, `stride` the step of the first convolution, in pixels, and `act` the
    name of the activation, or a spec of any module; null is none.

    Raises:
        ValueError: channels or a stride that are no positive whole numbers.
        ConfigError: an unknown activation.
    """
    before = positive("in_channels", in_channels)
    after = before if out_channels is None else positive("out_channels", out_channels)
    return ResidualBlock(before, after, positive("stride", stride), act)


def activated(argument: str, name: str | nn.Module | None) -> list[nn.Module]:
    """Return the activation called `name` (`relu`, `ReLU` or `nn.ReLU`), or a copy of a module; empty for none."""
    if name is None:
        return []
    if isinstance(name, nn.Module):
        return [copy.deepcopy(name)]
    bare = name.removeprefix("nn.").lower().replace("_", "") if isinstance(name, str) else ""
    known = next((each for each in ACTIVATIONS if each.lower() == bare), None)
    if known is None:
        lower = str(name).islower()
        near = nearest(str(name), [each.lower() if lower else each for each in ACTIVATIONS])
        near = ("null",) if bare == "none" else near
        raise unknown(argument, f"There is no activation `{name}`.", near, ACTIVATIONS)
    module: nn.Module = getattr(nn, known)()
    return [module]


def normed(name: str | nn.Module | None, channels: int) -> list[nn.Module]:
    """Return the norm called `name` over `channels`, or a copy of a module; empty for none.

    A group has four channels or more.
    """
    if name is None:
        return []
    if isinstance(name, nn.Module):
        return [copy.deepcopy(name)]
    if name not in NORMS:
        raise unknown("norm", f"There is no norm `{name}`.", nearest(str(name), NORMS), NORMS)
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    most = 1 if name == "layer" else max(1, min(32, channels // 4))
    groups = max(count for count in range(1, most + 1) if channels % count == 0)
    return [nn.GroupNorm(groups, channels)]


def unknown(argument: str, message: str, near: tuple[str, ...], known: Sequence[str]) -> ConfigError:
    hint = "" if near else f"There are {', '.join(known)}."
    return ConfigError(message, title="unknown name", config_path=(argument,), suggestions=near, hint=hint)


def positive(name: str, value: object) -> int:
    if not is_whole(value):
        raise ValueError(f"`{name}` is a positive whole number, not {value!r}")
    return value


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Height and width from one number or from two."""
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise ValueError(f"give one number or two (height and width), not {value!r}")
    return value[0], value[1]
