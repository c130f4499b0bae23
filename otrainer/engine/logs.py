"""Logged values: kept as they come from the device, turned into numbers only when somebody reads them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import fsum
from typing import TYPE_CHECKING, Any

import torch

from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")
Number = int | float
NOTHING: Mapping[str, Any] = {}
TAKEN = frozenset({"step", "stage", "lr"})  # what a row has by itself


class StepLogs(Mapping[str, Number]):
    """Loss and logs of one optimizer step: the mean over its micro-batches, computed when it is read.

    `rates` are the learning rates of the optimizer's groups that the step was taken with, `norms` those of its
    gradients, by their names in rows.
    Reading waits for the device; a step that nobody reads never does.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        weights: Sequence[Any] | None = None,
        rates: Sequence[Any] = (),
        norms: Mapping[str, Any] = NOTHING,
    ) -> None:
        self._rows, self._weights, self.rates, self._norms = rows, weights, rates, norms

    def state_dict(self) -> dict[str, Any]:
        """Return what it is made from, tensors of the device among it."""
        weights = None if self._weights is None else list(self._weights)
        state = {"rows": [dict(row) for row in self._rows], "weights": weights, "rates": list(self.rates)}
        return {**state, "norms": dict(self._norms)} if self._norms else state

    @cached_property
    def _numbers(self) -> dict[str, Number]:
        logged = mean_of(self._rows, self._weights)
        if not self._norms:
            return logged
        check_norms(self._norms, [logged])
        return {**logged, **dict(zip(self._norms, numbers([*self._norms.values()]), strict=True))}

    def __getitem__(self, name: str) -> Number:
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return repr(self._numbers)


def check_norms(norms: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise ConfigError where a row of the loss's logs has the name of a norm: one of the two would be lost."""
    if clash := next((name for name in norms for row in rows if name in row), None):
        raise taken(clash, ("loss",), what="the norm of the gradients")


def logs_state(ctx: RunContext) -> dict[str, Any]:
    """Return the latest logs as they go into a checkpoint: callbacks may look at them after a resume."""
    logs = ctx.last_train_logs
    means = {} if ctx.epoch_means is None else {"means": ctx.epoch_means.state_dict()}
    return {
        "train": logs.state_dict() if isinstance(logs, StepLogs) else None,
        "val": dict(ctx.last_val_logs),
        "validated": ctx.validated,
        "logged_step": ctx.logged_step,
        **means,
    }


def load_logs(ctx: RunContext, state: Mapping[str, Any]) -> None:
    """Take back what `logs_state` returned; an earlier otrainer's checkpoint has nothing."""
    if state.get("train") is not None:
        ctx.last_train_logs = StepLogs(**state["train"])
    ctx.last_val_logs = dict(state.get("val", {}))
    ctx.validated = bool(state.get("validated", False))
    ctx.logged_step = int(state.get("logged_step", ctx.state.global_step))
    if ctx.epoch_means is not None and "means" in state:
        ctx.epoch_means.load_state_dict(state["means"])
    elif ctx.epoch_means is not None and ctx.state.micro_step_in_epoch and not ctx.state.epoch_complete:
        log.warning("the checkpoint has no sums of this epoch: its means are over the steps from here on")


def mean_of(rows: Sequence[Mapping[str, Any]], weights: Sequence[Any] | None = None) -> dict[str, Number]:
    """Return the weighted mean of each name over the rows that have it; weights default to 1.

    A single value stays what it is, an integer too; means are of double precision.
    """
    counts = [1.0] * len(rows) if weights is None else numbers(weights)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _mean([(row[name], w) for row, w in zip(rows, counts, strict=True) if name in row]) for name in names}


def _mean(weighted: Sequence[tuple[Any, Number]]) -> Number:
    """Return a mean; what weighs nothing does not count, so that it may be no number."""
    counted = [(value, weight) for value, weight in weighted if weight != 0]
    if not counted:
        return float("nan")
    values = numbers([value for value, _ in counted])
    if len(values) == 1:
        return values[0]
    total = fsum(weight for _, weight in counted)
    return fsum(value * weight for value, (_, weight) in zip(values, counted, strict=True)) / total


def numbers(values: Sequence[Any]) -> list[Number]:
    """Return values as Python's numbers, fetched from the device in one go where all are floating tensors."""
    if len(values) > 1 and all(isinstance(value, torch.Tensor) and value.is_floating_point() for value in values):
        # A device may know no doubles, and half precision would round.
        singles = [value.detach().reshape(()) for value in values]
        kind = torch.float64 if any(each.dtype == torch.float64 for each in singles) else torch.float32
        floats: list[Number] = torch.stack([each.to(kind) for each in singles]).tolist()
        return floats
    return [number(value) for value in values]


def number(value: Any) -> Number:
    """Return a value of one element, be it a tensor, an array or a number, as a number: integers as such."""
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    return float(item)


def detached(loss: float | torch.Tensor, logs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a log row that keeps nothing of a micro-batch's graph alive; the loss itself is always `loss`.

    Raises ConfigError for logs under a name that rows have by themselves, and for what is no number.
    """
    row: dict[str, Any] = {"loss": loss.detach() if isinstance(loss, torch.Tensor) else loss}
    if logs is not None and type(logs) is not dict and not isinstance(logs, Mapping):
        raise not_a_log("logs", logs)
    if logs:
        if not TAKEN.isdisjoint(logs):
            own = next(name for name in logs if name in TAKEN)
            raise taken(own, ("loss",), what="what each row says by itself")
        for name, value in logs.items():
            one = one_number(name, value)
            if name != "loss":
                row[name] = one
            elif isinstance(loss, float) and number(one) != loss and loss == loss:  # elsewhere looking means waiting
                raise taken(name, ("loss",), what="the loss itself")
    return row


def one_number(name: str, value: Any) -> Any:
    """Return a value as it is logged, without its graph; nothing is fetched from a device.

    Raises ConfigError for what is not one real number.
    """
    if isinstance(value, torch.Tensor):
        if value.numel() != 1 or value.is_complex():
            raise not_a_log(name, value)
        return value.detach()
    if type(value) is float or type(value) is int:
        return value
    try:
        number(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise not_a_log(name, value) from None
    if isinstance(value, str | bytes):
        raise not_a_log(name, value)
    return value


def not_a_log(name: str, value: Any) -> ConfigError:
    """Report a value that the loss logs and that is not one number, by its shape where it has one."""
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", type(value).__name__)
    what = f"{kind} of shape {tuple(shape)}" if shape else str(kind)
    return ConfigError(
        f"The loss logs `{name}`, a {what}, which is no number.",
        title="not a number",
        config_path=("loss",),
        hint="`LossOutput(logs=...)` maps names to real numbers, or tensors of one: log a mean, or each value by a "
        "name of its own.",
    )


def taken(name: str, config_path: tuple[str | int, ...], *, what: str) -> ConfigError:
    """Report a logged value whose name something else has, and `what` that is."""
    message = f"A value would be logged as `{name}`, which is the name of {what}."
    hint = "Log it by another name: the other value would be lost."
    return ConfigError(message, title="name is taken", config_path=config_path, hint=hint)
