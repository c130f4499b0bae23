"""Averages of the weights over training: exponential (EMA) or stochastic weight averaging (SWA), as torch takes them.

Which steps count is a function of the step, so that a resume cannot forget it. A checkpoint has the averages as its
`model`, for use, and beside them what is trained.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from otrainer.engine.averaging_options import BY_EPOCHS, BY_STEPS, flaws
from otrainer.engine.optimizer import held
from otrainer.errors import ConfigError, Finding

log = logging.getLogger("otrainer")
HALVES = (torch.bfloat16, torch.float16)


class Averaging:
    """The averages of what an optimizer trains, from a step or an epoch on, every so many of them; none before.

    The first is a copy of the weights. `validates` says whether validation sees the averages. With `buffers: averaged`
    those of floating-point buffers are taken too, as by torch's `AveragedModel(use_buffers=True)`. With `update_bn`
    those of norms are made anew, by `update_norms`: `is_behind` says that they do not fit the averages.
    """

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self.by_epochs = any(key in options for key in BY_EPOCHS)
        first, every = BY_EPOCHS if self.by_epochs else BY_STEPS
        self.first: int = options.get(first, 1)
        self.every: int = options.get(every, 1)
        self.update_bn: int | bool | None = options.get("update_bn")
        self.told, self._has_moved = False, False
        self.validates = options.get("validate", "averaged") == "averaged"
        self._takes_buffers = options.get("buffers", "trained") == "averaged"
        self._average: Callable[..., None] = get_swa_multi_avg_fn() if kind == "swa" else exponential(options)
        self._averages: dict[Any, torch.Tensor] = {}
        self._model: torch.nn.Module | None = None
        self._norms: set[str] = set()

    @classmethod
    def of(cls, ema: Mapping[str, Any] | None, swa: Mapping[str, Any] | None) -> Averaging | None:
        """Return the averaging that a trainer asks for, if any. Raises ConfigError for all that is wrong with it."""
        given = {name: options for name, options in (("ema", ema), ("swa", swa)) if options is not None}
        findings = [each for name, options in given.items() for each in flaws(name, options)]
        if len(given) > 1:
            message, hint = "There is `ema` or `swa`, not both.", "Leave one of them out."
            findings.append(Finding(message, "two ways at once", ("trainer", "swa"), hint=hint))
        if findings:
            raise ConfigError.of(findings)
        return next((cls(name, options) for name, options in given.items()), None)

    def begin(self, optimizer: Any, model: torch.nn.Module, *, has_io: bool = True) -> None:
        """Take note of the model whose buffers they are; warn of averages in half precision, which hardly move.

        Raises ConfigError for an optimizer that has weights for use of its own, as schedule-free ones do, and where
        norms are to see data that no `io` splits.
        """
        if self.update_bn and not has_io:
            raise no_io()
        if any(each.dtype in HALVES for each in held(optimizer)):
            log.warning(
                "the averages of the weights are in half precision, as these are: steps that are small beside them are "
                "rounded away. Train with `precision: bf16-mixed`, whose weights are whole."
            )
        if callable(getattr(optimizer, "eval", None)):
            raise ConfigError(
                f"`{type(optimizer).__name__}` averages weights itself.",
                title="two ways at once",
                config_path=("optimizer", "type"),
                hint="Leave `ema` or `swa` of the trainer out.",
            )
        self._model, self._norms = model, {*statistics_of(norms_in(model))}

    def trained(self, optimizer: Any) -> dict[Any, torch.Tensor]:
        """Return what averages are taken of: what the optimizer trains, in its order, then buffers, by their names."""
        found: dict[Any, torch.Tensor] = {id(each): each for each in held(optimizer)}
        if (self._takes_buffers or self.update_bn) and self._model is not None:
            found |= averaged_buffers(self._model)
        return found

    def update(self, optimizer: Any, step: int) -> None:
        """Take in the weights after an optimizer step of the run, if it is one that counts."""
        if not self.by_epochs:
            self._take_in(optimizer, step)

    def end_epoch(self, optimizer: Any, epochs: int) -> None:
        """Take in the weights after so many whole epochs, if it is one that counts."""
        if self.by_epochs:
            self._take_in(optimizer, epochs)

    def _take_in(self, optimizer: Any, now: int) -> None:
        since = now - self.first
        if since < 0 or since % self.every:
            return
        trained, self._has_moved = self.trained(optimizer), True
        known = [each for each in trained if each in self._averages and not (self.update_bn and isinstance(each, str))]
        if known:
            averages = [self._averages[each] for each in known]
            with torch.no_grad():
                self._average(averages, [trained[each] for each in known], torch.tensor(since // self.every))
        for each, value in self._kept(trained).items():
            if each not in self._averages:
                self._averages[each] = value.detach().clone()

    def _kept(self, trained: Mapping[Any, torch.Tensor]) -> Mapping[Any, torch.Tensor]:
        """Return what there are averages of: of buffers that are made anew, the norms' alone."""
        if not self.update_bn:
            return trained
        return {each: value for each, value in trained.items() if not isinstance(each, str) or each in self._norms}

    def take(self, optimizer: Any) -> None:
        """Take the weights that there are now, those of a checkpoint, for the averages."""
        now = self._kept(self.trained(optimizer))
        self._averages, self._has_moved = {each: value.detach().clone() for each, value in now.items()}, True

    @property
    def is_behind(self) -> bool:
        """Whether the norms' statistics are to be made anew, since the averages moved."""
        return bool(self.update_bn) and self._has_moved

    def catch_up(self, statistics: Mapping[str, torch.Tensor]) -> None:
        """Take the norms' statistics for the averages, by the names of their buffers."""
        self._averages.update(statistics)
        self.told, self._has_moved = True, False

    @contextmanager
    def in_use(self, optimizer: Any) -> Iterator[list[torch.Tensor]]:
        """Let the model have the averages in the block; yield copies of what is trained, none where there are none."""
        if not self._averages:
            yield []
            return
        held_now = self.trained(optimizer)
        trained = [each.detach().clone() for each in held_now.values()]
        fill([*held_now.values()], [self._averages.get(each, value) for each, value in held_now.items()])
        try:
            yield trained
        finally:
            fill([*held_now.values()], trained)


def norms_in(model: torch.nn.Module) -> dict[str, _BatchNorm]:
    """Return the norms of a model that keep statistics of what they saw, by name."""
    found = {name: each for name, each in model.named_modules() if isinstance(each, _BatchNorm)}
    return {name: each for name, each in found.items() if each.track_running_stats}


def statistics_of(norms: Mapping[str, _BatchNorm]) -> dict[str, torch.Tensor]:
    """Return the means and variances that norms keep, by the names of the buffers."""
    own = {name: (norm.running_mean, norm.running_var) for name, norm in norms.items()}
    return {
        f"{name}.{which}" if name else which: buffer
        for name, buffers in own.items()
        for which, buffer in zip(("running_mean", "running_var"), buffers, strict=True)
        if buffer is not None
    }


def averaged_buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers that averages can be taken of, by name; counts, as a BatchNorm's of its batches, stay."""
    return {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}


def exponential(options: Mapping[str, Any]) -> Callable[..., None]:
    """Return what moves averages by `decay`; with `warm_up` number n by (1 + n) / (10 + n) if that is less.

    So that the first ones, which are far from what comes, are soon left behind: as TensorFlow's
    ExponentialMovingAverage does with `num_updates`.
    """
    decay, average = options["decay"], get_ema_multi_avg_fn(options["decay"])

    def warm(averages: Any, trained: Any, number: torch.Tensor) -> None:
        n = int(number)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, trained, number)

    return warm if options.get("warm_up") else average


def no_io() -> ConfigError:
    return ConfigError(
        "`update_bn` calls the model by what `io` makes of a batch, and there is none.",
        title="no averaging",
        config_path=("io",),
        hint="Give the experiment an `io`, or have the statistics averaged by `buffers: averaged`.",
    )


def fill(parameters: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        if parameter is not value:
            parameter.data.copy_(value)  # past its version, by which a frozen parameter shows that it was changed
