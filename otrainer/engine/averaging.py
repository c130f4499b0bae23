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
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from otrainer.engine.optimizer import held
from otrainer.errors import ConfigError, ConfigPath, Finding, is_whole, nearest

EVERYWHERE = ("from_step", "every_n_steps", "validate", "buffers")
log = logging.getLogger("otrainer")
KEYS = {"ema": ("decay", "warm_up", *EVERYWHERE), "swa": EVERYWHERE}
CHOICES = ("averaged", "trained")
HALVES = (torch.bfloat16, torch.float16)
EXAMPLES = {"ema": "ema: {decay: 0.999, from_step: 100}", "swa": "swa: {from_step: 1000, every_n_steps: 50}"}


class Averaging:
    """The averages of what an optimizer trains, from a step on, every so many steps; none before.

    The first is a copy of the weights. `validates` says whether validation sees the averages. With `buffers: averaged`
    those of floating-point buffers are taken too, as by torch's `AveragedModel(use_buffers=True)`.
    """

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self.first: int = options.get("from_step", 1)
        self.every: int = options.get("every_n_steps", 1)
        self.validates = options.get("validate", "averaged") == "averaged"
        self._takes_buffers = options.get("buffers", "trained") == "averaged"
        self._average: Callable[..., None] = get_swa_multi_avg_fn() if kind == "swa" else exponential(options)
        self._averages: dict[Any, torch.Tensor] = {}
        self._model: torch.nn.Module | None = None

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

    def begin(self, optimizer: Any, model: torch.nn.Module) -> None:
        """Take note of the model whose buffers they are; warn of averages in half precision, which hardly move.

        Raises ConfigError for an optimizer that has weights for use of its own, as schedule-free ones do.
        """
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
        self._model = model

    def trained(self, optimizer: Any) -> dict[Any, torch.Tensor]:
        """Return what averages are taken of: what the optimizer trains, in its order, then buffers, by their names."""
        found: dict[Any, torch.Tensor] = {id(each): each for each in held(optimizer)}
        if self._takes_buffers and self._model is not None:
            found |= averaged_buffers(self._model)
        return found

    def update(self, optimizer: Any, step: int) -> None:
        """Take in the weights after an optimizer step of the run, if it is one that counts."""
        since = step - self.first
        if since < 0 or since % self.every:
            return
        trained = self.trained(optimizer)
        known = [each for each in trained if each in self._averages]
        if known:
            averages = [self._averages[each] for each in known]
            with torch.no_grad():
                self._average(averages, [trained[each] for each in known], torch.tensor(since // self.every))
        for each, value in trained.items():
            if each not in self._averages:
                self._averages[each] = value.detach().clone()

    def take(self, optimizer: Any) -> None:
        """Take the weights that there are now, those of a checkpoint, for the averages."""
        self._averages = {each: value.detach().clone() for each, value in self.trained(optimizer).items()}

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


def fill(parameters: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        if parameter is not value:
            parameter.data.copy_(value)  # past its version, by which a frozen parameter shows that it was changed


def flaws(name: str, options: Any) -> Iterator[Finding]:
    """Yield what is wrong with the options of `ema` or `swa`."""
    path: ConfigPath = ("trainer", name)
    if not isinstance(options, Mapping) or (name == "ema" and "decay" not in options):
        yield Finding(f"`{name}` is a mapping such as `{EXAMPLES[name]}`.", "no averaging", path, hint="Write it so.")
        return
    for key in options:
        if key not in KEYS[name]:
            near, message = nearest(str(key), KEYS[name]), f"`{name}` has no key `{key}`."
            yield Finding(message, "unknown key", (*path, key), on_key=True, suggestions=near)
    decay = options.get("decay", 0.5)
    if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 < decay < 1:
        message = f"`decay` is a number between 0 and 1, not {decay!r}."
        yield Finding(message, "out of range", (*path, "decay"), hint="Write `decay: 0.999`, say.")
    for key in ("from_step", "every_n_steps"):
        if not is_whole(options.get(key, 1)):
            message = f"`{key}` is a whole number from 1 on, not {options[key]!r}."
            yield Finding(message, "out of range", (*path, key), hint=f"Write `{key}: 100`, say.")
    for key in ("validate", "buffers"):
        if (choice := options.get(key, CHOICES[0])) not in CHOICES:
            message, near = f"`{key}` is averaged or trained, not `{choice}`.", nearest(str(choice), CHOICES)
            yield Finding(message, "unknown value", (*path, key), suggestions=near, hint=f"Write `{key}: trained`.")
    if not isinstance(warm_up := options.get("warm_up", False), bool):
        message = f"`warm_up` is true or false, not {warm_up!r}."
        yield Finding(message, "wrong type", (*path, "warm_up"), hint="Write `warm_up: true`.")
