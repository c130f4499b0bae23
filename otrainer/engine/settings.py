"""What can be given to `trainer.default`: how long a run is, when it validates, and what holds in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otrainer.engine.averaging import Averaging
from otrainer.engine.freezing import check_rules
from otrainer.engine.length import Length
from otrainer.engine.recompute import check_patterns
from otrainer.engine.rhythm import LogRhythm, Rhythm
from otrainer.engine.tokens import tokens_of
from otrainer.errors import check_positive, check_whole

OPTIONAL = (
    "max_epochs", "max_steps", "val_every_n_epochs", "val_every_n_steps", "train_batches", "val_batches",
    "log_every_n_steps", "log_every_n_epochs",
)  # fmt: skip


@dataclass
class TrainerSettings:
    """The arguments of `trainer.default`, checked as it is built.

    A run ends after `max_epochs` epochs, `max_steps` optimizer steps or `max_time` (as `2h30m`, or in seconds), the
    first of them, or else after one epoch; the time is that of all attempts. An epoch has at most `train_batches`
    micro-batches; a validation has at most `val_batches`. `grad_accum_steps` micro-batches make one optimizer step (a
    last, smaller group is averaged over its own size), or by `accumulate` (`tokens`) as many as come to a number of
    tokens, which the loss's weights are; `grad_clip_norm` bounds the global L2 norm of the gradients, `grad_clip_value`
    before it each of their values; a row of training is logged every `log_every_n_steps` optimizer steps, at the end of
    every `log_every_n_epochs`, and once `log_every_n_minutes` were trained since the last such one, as many of these as
    are not null; validation comes after every `val_every_n_epochs`, every `val_every_n_steps` optimizer steps, or after
    the step at which `val_every_n_minutes` were trained since the last one. `freeze` lists rules by which parameters do
    not train, each with `match` (globs on their names, or `re:` and a regular expression) or `modules` (classes of
    modules, or `norm`), for good or up to `until_step` or `until_epoch`, or after `from_step` or `from_epoch` of them.
    `ema` (`decay`, `from_step`, ...) or `swa` (`from_epoch`, `update_bn`, ...) takes averages of the weights, which are
    validated and saved for use.
    `detect_anomaly` lets torch say where a gradient is no number first, which takes time; under `val_gradients` models
    may differentiate in validation too.
    `checkpoint_activations` lists patterns on names of layers whose inner values are computed again for the gradients,
    which takes time and saves memory.
    By `log_grad_norm` rows have the global L2 norm of the gradients, as it is before they are clipped.
    By `log_epoch_means` each epoch's row has the means of the training loss, as `train_loss`, and of what it logs.
    Before the first step `sanity_batches` of validation are tried out, 0 for none.
    Raises ValueError for counts below 1, a bound that is not positive, and what is no time.
    """

    max_epochs: int | None = None
    grad_accum_steps: int = 1
    grad_clip_norm: float | None = None
    log_every_n_steps: int | None = 10
    val_every_n_epochs: int | None = None
    max_steps: int | None = None
    max_time: str | float | None = None
    val_every_n_steps: int | None = None
    train_batches: int | None = None
    val_batches: int | None = None
    freeze: Sequence[Mapping[str, Any]] | None = None
    grad_clip_value: float | None = None
    ema: Mapping[str, Any] | None = None
    swa: Mapping[str, Any] | None = None
    log_grad_norm: bool = False
    accumulate: Mapping[str, Any] | None = None
    detect_anomaly: bool = False
    val_gradients: bool = False
    sanity_batches: int = 1
    checkpoint_activations: Sequence[str] | None = None
    log_epoch_means: bool = False
    val_every_n_minutes: float | None = None
    log_every_n_epochs: int | None = None
    log_every_n_minutes: float | None = None

    def __post_init__(self) -> None:
        check_whole("grad_accum_steps", self.grad_accum_steps)
        check_whole("sanity_batches", self.sanity_batches, 0)
        for name in OPTIONAL:
            check_whole(name, getattr(self, name), optional=True)
        for name in ("grad_clip_norm", "grad_clip_value", "val_every_n_minutes", "log_every_n_minutes"):
            check_positive(name, getattr(self, name))
        _ = self.length, self.rhythm, self.averaging  # which tell what is none
        check_rules(self.freeze or ())
        check_patterns(self.checkpoint_activations)

    @property
    def length(self) -> Length:
        """How long a run is."""
        bounds = self.max_epochs, self.max_steps, self.max_time, self.train_batches
        return Length.of(*bounds, self.grad_accum_steps, tokens_of(self.accumulate, self.grad_accum_steps))

    @property
    def gathers(self) -> str | None:
        """By which argument a step has several micro-batches, if it has."""
        if self.accumulate is not None:
            return "accumulate"
        return "grad_accum_steps" if self.grad_accum_steps > 1 else None

    @property
    def averaging(self) -> Averaging | None:
        """What averages the weights are taken into."""
        return Averaging.of(self.ema, self.swa)

    @property
    def rhythm(self) -> Rhythm:
        """When a run validates."""
        return Rhythm.of(self.val_every_n_epochs, self.val_every_n_steps, self.val_every_n_minutes)

    @property
    def log_rhythm(self) -> LogRhythm:
        """Which steps have a row."""
        return LogRhythm(self.log_every_n_steps, self.log_every_n_epochs, self.log_every_n_minutes)
