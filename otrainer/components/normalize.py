"""normalize: numbers brought to one scale by statistics of the training data, which stay with the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from otrainer.components.moments import Moments, without_rounding
from otrainer.engine.fitted import FittedModule
from otrainer.errors import ConfigError, nearest

log = logging.getLogger("otrainer")
WAYS = ("standard", "min_max")
WRONG = "wrong value"


class Normalize(FittedModule):
    """Bring numbers to one scale, by statistics of a field of the training data: `(x - center) / scale`.

    `field` is a field of the batches, or a path to it such as `obs.state`. `by` is `standard`, to mean 0 and deviation
    1 (not Bessel's), or `min_max`, from -1 to 1. Statistics are taken for each index of the dimension `dim`, counted
    from the end: -1 for each feature, -3 for each channel of images; null takes one of all numbers. With `inverse` it
    goes the way back, as the last layer of a model whose targets are the field: outputs are in the field's own units.
    `mask` is a field, `[batch, length]`, that is true where a sample is not filled in; what is filled in is left out.

    They are computed in float64 once, of the training data alone (of their part, where they are split), before the
    first step, and are buffers: checkpoints have them. What is constant is only moved to 0.
    Raises ConfigError for a field that is not there or not finite; ValueError for other arguments.
    """

    center: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, field: str, by: str = "standard", dim: int | None = -1, inverse: bool = False, mask: str | None = None
    ) -> None:
        super().__init__()
        for name, value in (("field", field), ("mask", "mask" if mask is None else mask)):
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} is the name of a field, not {value!r}")
        if by not in WAYS:
            raise ValueError(f"by is one of {', '.join(WAYS)}, not {by!r}")
        if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim > -1):
            raise ValueError(f"dim is counted from the end, so it is -1 or less, or null, not {dim!r}")
        if mask is not None and dim not in (None, -1):
            raise ValueError("mask goes with dim -1 or null")
        self.field, self.by, self.dim, self.is_inverse, self.mask = field, by, dim, inverse, mask
        self.register_buffer("center", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self._moments: Moments | None = None  # while it sees data

    def forward(self, x: torch.Tensor, inverse: bool | None = None) -> torch.Tensor:
        """Return `x` on one scale, or with `inverse` back in its own units; of its own dtype where that is a float."""
        back = self.is_inverse if inverse is None else inverse
        made = x * self.scale + self.center if back else (x - self.center) / self.scale
        return made.to(x.dtype) if x.is_floating_point() else made

    def see(self, batch: Any) -> None:
        values = numbers_at(batch, self.field)
        if self.dim is None:
            values = values.unsqueeze(-1)
        elif values.ndim < 1 - self.dim:
            message = (
                f"`{self.field}` is {list(values.shape)} in a batch, and its samples have no dimension {self.dim}."
            )
            raise wrong(message, "Let `dim` be one that samples have, or null for statistics of all numbers.")
        elif self.dim < -1:
            values = values.movedim(self.dim, -1)
        if self.mask is not None:
            values = values[self._is_counted(batch, values)]
        self._moments = self._moments or Moments(values.shape[-1])
        if values.shape[-1] != self._moments.columns:
            lengths = f"{self._moments.columns} in a batch, {values.shape[-1]} in another"
            message = f"`{self.field}` is of several lengths along `dim`: {lengths}."
            raise wrong(message, "Let `dim` be one that is as long in all samples, or null.")
        self._moments.add(values.reshape(-1, values.shape[-1]))

    def _is_counted(self, batch: Any, values: torch.Tensor) -> torch.Tensor:
        mask = numbers_at(batch, str(self.mask)).bool()
        if mask.shape != values.shape[: mask.ndim]:
            message = f"`{self.mask}` is {list(mask.shape)} in a batch, and `{self.field}` {list(values.shape)}."
            raise wrong(message, "Let `mask` be `[batch, length]` of a field that is `[batch, length, ...]`.")
        return mask

    def settle(self) -> None:
        found, self._moments = self._moments.found() if self._moments else None, None
        if found is None:
            message = f"`{self.field}` has no numbers in the training data."
            raise wrong(message, "Check the data's sizes, and `mask` if there is one.")
        if not bool(torch.isfinite(found["max"] - found["min"]).all()):
            odd = (~torch.isfinite(found["max"] - found["min"])).nonzero().flatten().tolist()
            message = f"`{self.field}` has numbers in the training data that are not finite, at index {told(odd)}."
            raise wrong(message, "Fill or leave out such samples.")
        center, scale = found["mean"], without_rounding(found["mean"], found["deviation"], found["count"])
        if self.by == "min_max":
            center, scale = of_min_max(found)
        constant = (scale == 0).nonzero().flatten().tolist()
        if constant:
            log.warning("`%s` is constant in the training data at index %s: only moved.", self.field, told(constant))
        scale[constant] = 1.0
        self._set(center, scale)
        self.fitted.fill_(found["count"])

    def said(self) -> dict[str, Any]:
        flat = {name: each.flatten().tolist() for name, each in (("center", self.center), ("scale", self.scale))}
        return {"field": self.field, "by": self.by, "count": int(self.fitted), **flat}

    def _set(self, center: torch.Tensor, scale: torch.Tensor) -> None:
        shape = [] if self.dim is None else [-1] + [1] * (-1 - self.dim)
        self.center, self.scale = (each.float().to(self.scale.device).reshape(shape) for each in (center, scale))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move the buffers, and leave them in float32 in a model of narrower numbers."""
        kept = (self.center, self.scale)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.center, self.scale = (
            own if own.dtype == was.dtype else was.to(own.device)
            for own, was in zip((self.center, self.scale), kept, strict=True)
        )
        return self


def of_min_max(found: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = found["min"], found["max"]
    return (low + high) / 2, (high - low) / 2


def numbers_at(batch: Any, field: str) -> torch.Tensor:
    """Return a field of a batch, `[batch, ...]`; raise ConfigError for one that is not there, or is no numbers."""
    value = batch
    for step in field.split("."):
        there: list[str] = []
        if isinstance(value, Mapping):
            there = [str(key) for key in value]
        elif isinstance(value, list | tuple):
            there = [str(index) for index in range(len(value))]
        if step not in there:
            raise no_field(field, step, there)
        value = value[int(step)] if isinstance(value, list | tuple) else value[step]
    if not isinstance(value, torch.Tensor) or value.is_complex() or value.ndim == 0:
        raise wrong(f"`{field}` is no tensor of real numbers in a batch.", "Name a field that is one.")
    return value


def no_field(field: str, step: str, there: list[str]) -> ConfigError:
    names = ", ".join(there) or "nothing"
    message = f"There is no `{step}` of `{field}` in a batch of the training data; there is {names}."
    near, hint = nearest(step, there), "Name a field of the batches, as a path of keys and indices."
    return ConfigError(message, title="unknown field", config_path=("model",), suggestions=near, hint=hint)


def told(indices: list[int]) -> str:
    return ", ".join(map(str, indices[:4])) + (f" and {len(indices) - 4} more" if len(indices) > 4 else "")


def wrong(message: str, hint: str) -> ConfigError:
    return ConfigError(message, title=WRONG, config_path=("model",), hint=hint)
