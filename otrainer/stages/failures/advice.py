"""Advise on an exception: why a layer did not take its input, and what messages of torch and files leave unsaid."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.components.loss import TorchLoss
from otrainer.components.metrics import TorchMetric
from otrainer.engine.stage_notes import stage_of
from otrainer.engine.tree import children
from otrainer.registry.plugins.install_hint import how_to_install
from otrainer.stages.failures.describe import describe, dtype_name, extremes
from otrainer.stages.failures.frames import receiver, variables

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Raised, Step
    from otrainer.stages.failures.frames import NodeCall

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
CLASSIFIES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
NOT_FUSED = "`fused: false` in `optimizer.kwargs` takes the implementation without fused kernels."
# Words of a message, and what to do then.
MESSAGES = {
    "device-side assert": (
        "An index was out of range on the device, most likely a class or a token; `run.device: cpu` says which."
    ),
    "Expected all tensors to be on the same device": (
        "What a component keeps beside its parameters and buffers is not moved: register it as a buffer."
    ),
    "Expected more than 1 value per channel when training": (
        "One sample has no variance to normalize by: `drop_last: true` in `data` leaves out a last batch that is "
        "smaller, or choose another `batch_size`."
    ),
    "`fused": NOT_FUSED,
    "`_fused": NOT_FUSED,
    "does not support sparse gradients": (
        "`optim_cls.SparseAdam` and `optim_cls.SGD` take them; without `sparse: true` the layer gives whole ones."
    ),
}
WITHOUT_GRADIENTS = ("does not require grad", "requires_grad=False tensor")
ENABLE = (
    "Validation runs without gradients: put `with torch.enable_grad():` around what differentiates, "
    "in the model or the loss."
)
NUMBERED = re.compile(r"\[Errno (\d+)\]")
GONE = "What holds the file failed, a disk or a network mount: read the file by hand, or copy it to another place."
FILE_ERRORS = {
    errno.ENOENT: "Put the file there, or mend the path that leads to it.",
    errno.EACCES: "Give this user the right to it.",
    errno.EPERM: "Give this user the right to it.",
    errno.EMFILE: "Close each file once it is read, or allow more open ones by `ulimit -n`.",
    errno.EIO: GONE,
    errno.ESTALE: GONE,
    errno.ETIMEDOUT: GONE,
}


def advise_on_message(error: BaseException, raised: Raised) -> str:
    """Say what to do, for messages that people ask about; else nothing. `raised` is what `error` says, read."""
    if isinstance(error, ImportError):
        return how_to_install(error)
    if stage_of(error) in ("val", "rehearsal") and any(words in raised.text for words in WITHOUT_GRADIENTS):
        return ENABLE
    found = NUMBERED.match(raised.text)  # by the text, which is all that comes from another process
    if found and int(found[1]) in FILE_ERRORS and isinstance(error, OSError):
        return FILE_ERRORS[int(found[1])]
    return next((advice for words, advice in MESSAGES.items() if words in raised.text), "")


def advise_on_layer(call: NodeCall, *, written: bool) -> str:
    """Say what the innermost layer of a call wants, what it was given, and what to do; nothing where that is not plain.

    `written` says that the config itself has this layer's arguments, and not those of a block around it.
    """
    value = next(iter((call.given or {}).values()), None)
    if call.module is None or not isinstance(value, torch.Tensor):
        return ""
    for judge in (wrong_width, wrong_index, wrong_dtype):
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


def find_sides(steps: Sequence[Step]) -> tuple[Any, Any, Any] | None:
    """Return the function, the prediction and the target of a `loss.torch` or `metric.torchmetrics` among `steps`."""
    for step in reversed(steps):
        owner, local = receiver(step), variables(step)
        if isinstance(owner, TorchLoss | TorchMetric) and "target" in local:
            return local.get("metric", getattr(owner, "fn", None)), local["prediction"], local["target"]
    return None


def find_several(prediction: Any, target: Any) -> Misfit | None:
    """Say that a side is several tensors, where one was needed, and what names it."""
    for side, name, value in (("prediction", "pred_path", prediction), ("target", "target_path", target)):
        items = None if isinstance(value, torch.Tensor) else children(value)
        fields = getattr(type(value), "_fields", None)  # of a named tuple, which is looked at by numbers
        steps = [fields[key] if fields else key for key, item in items or () if isinstance(item, torch.Tensor)]
        if steps:
            known = ", ".join(f"`{step}`" for step in steps)
            return f"The {side} is several tensors ({known}), not one.", f"Add `{name}: [{steps[0]}]`, for example."
    return None


def judge_sides(fn: Any, prediction: Any, target: Any) -> Misfit | None:
    """Say why a loss of torch's does not take its two sides, and what to do; None where that is not plain."""
    tensors = isinstance(prediction, torch.Tensor) and isinstance(target, torch.Tensor)
    if not type(fn).__module__.startswith("torch.") or not tensors or not prediction.dim():
        return None
    if isinstance(fn, CLASSIFIES):
        judges = (real_classes, wrong_count, wrong_class)
        return next(filter(None, (judge(prediction, target) for judge in judges)), None)
    if prediction.shape == target.shape:
        return whole_target(prediction, target)
    return "Both sides need one shape.", "Let the model give the target's shape, or the data the prediction's."


def whole_target(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    if target.is_floating_point() or not prediction.is_floating_point():
        return None
    wanted = dtype_name(prediction.dtype)
    return (
        f"The target is {dtype_name(target.dtype)}, and the loss computes in {wanted}.",
        f"Let the data give it in {wanted}: by `.to(torch.{wanted})`, for example.",
    )


def real_classes(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    if not target.is_floating_point() or target.shape == prediction.shape:
        return None
    classes = [*prediction.shape[:1], *prediction.shape[2:]]
    return (
        f"Its target is the number of a class (int64 {classes}), or a probability for each ({describe(prediction)}).",
        "Let the data give whole numbers, or choose a loss for real ones, such as nn.MSELoss.",
    )


def wrong_count(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    if not target.dim() or target.shape[0] == prediction.shape[0]:
        return None
    return (
        f"The prediction has {prediction.shape[0]} samples, and the target {target.shape[0]}.",
        "Something on the way changes the first dimension: look for a reshape in the model or in the data.",
    )


def wrong_class(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    found = extremes(target)
    classes = prediction.shape[1 if prediction.dim() > 1 else 0]
    if found is None or (found[0] >= 0 and found[1] < classes):
        return None
    return (
        f"The prediction has {classes} classes, 0 to {classes - 1}, and the target goes from {found[0]} to {found[1]}.",
        "Let the model's last layer have one output a class, or number the classes from 0 on.",
    )
