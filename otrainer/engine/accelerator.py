"""Where the computing happens: device, precision, and the few calls of a step that depend on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch

from otrainer.engine.bare_step import BareStep
from otrainer.engine.optimizer import call_step, due
from otrainer.engine.pure import PURE, narrowed
from otrainer.engine.tree import is_detachable, leaves, move_to_device
from otrainer.errors import ConfigError, nearest

END = object()
HALVES = (torch.bfloat16, torch.float16)
AUTOCAST = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}


class Accelerator:
    """One device and one precision; the loop never asks which."""

    def __init__(self, device: str = "cpu", precision: str = "fp32") -> None:
        check_device(device, precision)
        self.device = torch.device(device)
        self.scaler = torch.amp.GradScaler(self.device.type) if precision == "fp16-mixed" else None
        self._unscaled: set[int] = set()  # in the step under way
        self._bare: dict[int, BareStep] = {}
        self._autocast: AbstractContextManager[Any] = nullcontext()
        self.is_pure = precision == PURE  # all in bfloat16, in place of autocast
        self._halves = precision in AUTOCAST
        if self._halves:
            self._autocast = torch.autocast(self.device.type, dtype=AUTOCAST[precision])

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass and its loss."""
        return self._autocast

    def whole(self) -> AbstractContextManager[Any]:
        """Return the context of what is not to be halved within that: gradients, and steps of optimizers."""
        return torch.autocast(self.device.type, enabled=False) if self._halves else nullcontext()

    def seen_by_metrics(self, leaf: Any) -> Any:
        """Return a leaf of the model's outputs as metrics see it: detached, in float32 where precision halved it."""
        if not isinstance(leaf, torch.Tensor):
            return leaf.detach() if is_detachable(leaf) else leaf
        halved = (self._halves or self.is_pure) and leaf.dtype in HALVES
        return leaf.detach().float() if halved else leaf.detach()

    def place(self, batch: Any) -> Any:
        """Return a batch with its tensors on the device, in the precision of the weights."""
        moved = self.move(batch)
        return narrowed(moved) if self.is_pure else moved

    def move(self, batch: Any) -> Any:
        """Return a batch with its tensors on the device; pinned ones are copied without waiting."""
        if self.device.type == "cpu":
            return batch
        return move_to_device(batch, self.device, non_blocking=True)

    def placed(self, batches: Iterator[Any], *, ahead: bool = True) -> Iterator[Any]:
        """Yield the batches on the device; on CUDA one `ahead`, copied while the step before computes."""
        if self.device.type == "cpu":
            return map(self.place, batches) if self.is_pure else batches
        return self._ahead(batches) if ahead and self.device.type == "cuda" else map(self.place, batches)

    def _ahead(self, batches: Iterator[Any]) -> Iterator[Any]:
        copying = torch.cuda.Stream(self.device)
        waiting: Any = END
        for batch in batches:
            with torch.cuda.stream(copying):
                coming = self.place(batch)
            if waiting is not END:
                yield self._taken(waiting, copying)
            waiting = coming
        if waiting is not END:
            yield self._taken(waiting, copying)

    def _taken(self, batch: Any, copying: torch.cuda.Stream) -> Any:
        """Hand a batch to the stream that computes, which waits for the copies and keeps their memory while needed."""
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(copying)
        for tensor in leaves(batch):
            tensor.record_stream(computing)
        return batch

    def backward(self, loss: torch.Tensor, *, retain_graph: bool | None = None) -> None:
        """Add the gradients of `loss`."""
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        scaled.backward(retain_graph=retain_graph)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale for fp16 out of the gradients of all that an optimizer holds, unless it is out already."""
        if self.scaler is not None and id(optimizer) not in self._unscaled:
            self._unscaled.add(id(optimizer))
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer, *, tells: bool = True, chose_fused: bool = False) -> bool:
        """Step; False where fp16 overflowed and the step was left out.

        Knowing that means waiting for the device, so it is looked at only if this `tells`.
        """
        if self.scaler is None:
            for each in due(optimizer).values():
                call_step(self._bare_of(each), chose_fused=chose_fused)
            return True
        for each in due(optimizer).values():
            self.scaler.step(each)
        return self.end_steps(tells=tells)

    def step_one(self, optimizer: torch.optim.Optimizer, *, chose_fused: bool) -> None:
        """Step one of several optimizers; the scale for fp16 stays until `end_steps`."""
        step = self._bare_of(optimizer) if self.scaler is None else partial(self.scaler.step, optimizer)
        call_step(step, chose_fused=chose_fused)

    def _bare_of(self, optimizer: torch.optim.Optimizer) -> BareStep:
        bare = self._bare.get(id(optimizer))
        if bare is None or bare.optimizer is not optimizer:
            bare = self._bare[id(optimizer)] = BareStep(optimizer)
        return bare

    def end_steps(self, *, tells: bool) -> bool:
        """Say that the optimizers of a step are stepped; False where fp16 left one out, if this `tells`."""
        if self.scaler is None:
            return True
        scale = self.scaler.get_scale() if tells else 0.0
        self.scaler.update()
        self._unscaled.clear()
        return not tells or self.scaler.get_scale() >= scale


def known_device(device: str) -> torch.device:
    """Return the device of that name, here or not; raises ConfigError if there is none in torch."""
    try:
        return torch.device(device)
    except RuntimeError as cause:
        raise ConfigError(
            f"`{device}` is not a device that torch knows.",
            title="unknown device",
            config_path=("run", "device"),
            suggestions=("cuda",) if device.lower() == "gpu" else nearest(device, ["cpu", "cuda", "mps", "xpu"]),
            hint="Write `cpu`, `cuda` or `cuda:1`.",
        ) from cause


def check_device(device: str, precision: str) -> None:
    """Raise a ConfigError if this machine cannot compute on `device` with `precision`."""
    from otrainer.config.sections import PRECISIONS  # with it comes all that reads configs

    parsed = known_device(device)
    if precision not in PRECISIONS:
        raise ConfigError(
            f"`{precision}` is not a precision.",
            title="unknown precision",
            config_path=("run", "precision"),
            suggestions=nearest(precision, PRECISIONS),
            hint=f"There are {', '.join(PRECISIONS)}.",
        )
    if not device_available(parsed):
        message = f"`run.device` is `{device}`, but this machine has no such device that torch can use."
        hint = "Set `run.device: cpu`, or run on a machine that has one."
        raise ConfigError(message, title="device not available", config_path=("run", "device"), hint=hint)
    if precision == "fp16-mixed" and parsed.type != "cuda":
        message = f"`fp16-mixed` needs a CUDA device, and `run.device` is `{device}`."
        hint = "Use `bf16-mixed` or `fp32` here."
        raise ConfigError(message, title="precision not available", config_path=("run", "precision"), hint=hint)


def device_available(device: torch.device) -> bool:
    """Return whether tensors can be put there now."""
    if device.type == "cpu":
        return True
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    backend = getattr(torch, device.type, None) or getattr(torch.backends, device.type, None)
    return bool(backend is not None and backend.is_available())
