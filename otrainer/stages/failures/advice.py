"""Advise on an exception: why a layer did not take its input, and what torch's messages leave unsaid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from otrainer.registry.plugins.install_hint import how_to_install
from otrainer.stages.failures.describe import dtype_name, extremes

if TYPE_CHECKING:
    from otrainer.stages.failures.forward_call import NodeCall

Misfit = tuple[str, str]  # what does not fit, and what to do about it

# Layers, the argument that fixes a width, and the dimension of the input that must have it.
WIDTHS: tuple[tuple[tuple[type[nn.Module], ...], str, int], ...] = (
    ((nn.Linear,), "in_features", -1),
    ((nn.RNN, nn.LSTM, nn.GRU), "input_size", -1),
    ((nn.Conv1d, nn.ConvTranspose1d), "in_channels", -2),
    ((nn.Conv2d, nn.ConvTranspose2d), "in_channels", -3),
    ((nn.Conv3d, nn.ConvTranspose3d), "in_channels", -4),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), "num_features", 1),
    ((nn.GroupNorm,), "num_channels", 1),
)
# Words of a message, and what to do then.
MESSAGES = {
    "device-side assert": (
        "An index was out of range on the device, most likely a class or a token; `run.device: cpu` says which."
    ),
    "Expected all tensors to be on the same device": (
        "What a component keeps beside its parameters and buffers is not moved: register it as a buffer."
    ),
}


def advise_on_message(error: BaseException) -> str:
    """Say what to do, for messages that people ask about; else nothing."""
    if isinstance(error, ImportError):
        return how_to_install(error)
    text = str(error)
    return next((advice for words, advice in MESSAGES.items() if words in text), "")


def advise_on_layer(call: NodeCall, *, written: bool) -> str:
    """Say what the innermost layer of a call wants, what it was given, and what to do; nothing where that is not plain.

    `written` says that the config itself has this layer's arguments, and not those of a block around it.
    """
    value = next(iter((call.given or {}).values()), None)
    if call.module is None or not isinstance(value, torch.Tensor):
        return ""
    for judge in JUDGES:
        if found := judge(call.module, value):
            fact, step = found
            return f"{fact}: {step if written else 'let the two agree'}."
    return ""


def wrong_width(module: nn.Module, value: torch.Tensor) -> Misfit | None:
    for classes, argument, dim in WIDTHS:
        if isinstance(module, classes) and -value.dim() <= dim < value.dim():
            wanted, has = getattr(module, argument), value.shape[dim]
            if has != wanted:
                fact = f"Its `{argument}` is {wanted}, and dimension {dim % value.dim()} of its input is {has}"
                return fact, f"write `{argument}: {has}`, or give it {wanted}"
    return None


def wrong_index(module: nn.Module, value: torch.Tensor) -> Misfit | None:
    if not isinstance(module, nn.Embedding | nn.EmbeddingBag) or (found := extremes(value)) is None:
        return None
    count, (least, most) = module.num_embeddings, found
    if least >= 0 and most < count:
        return None
    fact = f"Its `num_embeddings` is {count}, and its input goes from {least} to {most}"
    return fact, f"write a greater one, or give it numbers from 0 to {count - 1}"


def wrong_dtype(module: nn.Module, value: torch.Tensor) -> Misfit | None:
    own = next((parameter.dtype for parameter in module.parameters(recurse=False)), value.dtype)
    if own == value.dtype or not (value.is_floating_point() or isinstance(module, nn.Linear)):
        return None
    wanted = dtype_name(own)
    return f"Its parameters are {wanted}, and its input is {dtype_name(value.dtype)}", f"give it {wanted}"


JUDGES: tuple[Callable[[nn.Module, torch.Tensor], Misfit | None], ...] = (wrong_width, wrong_index, wrong_dtype)
