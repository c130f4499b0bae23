"""A run under way: its context, and what only the loop needs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.redaction.exceptions import hide_in
from otrainer.diagnostics.redaction.values import masked
from otrainer.engine.arrays import Arrays
from otrainer.engine.rhythm import LogRhythm, Rhythm
from otrainer.engine.turns import BATCH_END, BEFORE_STEP, KEPT_HOOKS
from otrainer.errors import ConfigError
from otrainer.protocols import HOOKS, is_optional

if TYPE_CHECKING:
    import torch

    from otrainer.engine.accelerator import Accelerator
    from otrainer.engine.boundary import Boundary
    from otrainer.engine.data.loader import Loader
    from otrainer.engine.data.validation_sets import ValidationSets
    from otrainer.engine.freezing import Freezing
    from otrainer.engine.loss_check import LossWatch
    from otrainer.engine.schedule import Schedule
    from otrainer.engine.signals import StopRequest
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")

Call = tuple[int, Callable[..., None]]  # the place of a callback, and its hook


@dataclass
class Session:
    """A run under way.

    `forward` is the model, compiled where asked for; `modules` are those that train, of model and loss; `first_epoch`
    holds batches that were read already; `rhythm` says after which steps it is validated, if any, `log_rhythm` which
    have a row; `set_metrics` also see the validation set that is judged.
    """

    ctx: RunContext
    accelerator: Accelerator
    val: Loader | ValidationSets
    schedule: Schedule
    stop: StopRequest
    modules: list[torch.nn.Module]
    forward: Callable[..., Any]
    watch: LossWatch
    boundary: Boundary
    freezing: Freezing | None = None
    chose_fused: bool = False
    first_epoch: Iterator[Any] | None = None
    set_metrics: Any = None
    told_validation: bool = False
    told_arrays: bool = False
    arrays: Arrays = field(default_factory=Arrays)
    told_metrics: set[int] = field(default_factory=set)
    is_first_step: bool = True
    is_rehearsed: bool = False
    val_gradients: bool = False
    rhythm: Rhythm | None = None
    log_rhythm: LogRhythm = field(default_factory=LogRhythm)

    def __post_init__(self) -> None:
        # Those that look at the others' work (checkpoints) come last.
        ordered = sorted(enumerate(self.ctx.callbacks), key=lambda each: bool(getattr(each[1], "runs_last", False)))
        self._hooks = {
            name: [(place, method) for place, each in ordered if (method := hook_of(each, name)) is not None]
            for name in HOOKS
        }
        self._places = {name: places_of(calls) for name, calls in self._hooks.items()}
        self._calls = {name: with_waiting(calls) for name, calls in self._hooks.items()}
        self._loggers = tuple(range(len(self.ctx.loggers)))
        self.sees_batches, self.sees_gradients = self.has(BATCH_END), self.has(BEFORE_STEP)
        self.stops_within_epoch = any(getattr(each, "stops_within_epoch", False) for each in self.ctx.callbacks)
        # Whether no callback within a step keeps anything of it, so that one that fails leaves nothing to take back.
        within = [*self._hooks[BATCH_END], *self._hooks[BEFORE_STEP]]
        self.only_looks = all(getattr(self.ctx.callbacks[place], "only_looks", False) for place, _ in within)
        self._told_modes: set[str] = set()
        # Whether a step that is left out leaves the scheduler's turn out too.
        self.steps_schedule = self.schedule.goes_by("step")

    def begin_turns(
        self, hook: str = "", *, scheduler: bool = False, row: bool = False, validation: bool = False
    ) -> None:
        """Note who is to have a turn now: the scheduler, the loggers for a `row`, then callbacks, then validation."""
        turns = self.ctx.turns
        turns.scheduler, turns.row, turns.loggers = scheduler, row, self._loggers if row else ()
        turns.validation = validation
        turns.hook, turns.callbacks = hook, self._places[hook] if hook else ()

    def has(self, hook: str) -> bool:
        """Return whether any callback has a hook."""
        return bool(self._hooks[hook])

    def hook(self, name: str, places: Sequence[int] | None = None, *more: Any) -> None:
        """Call a hook of every callback that has it, or of those at `places` in the run's list, with `more` if any.

        Say which one leaves the model in evaluation mode.
        """
        ctx, calls = self.ctx, self._calls[name]
        if places is not None:
            calls = with_waiting([each for each in self._hooks[name] if each[0] in places])
        model, turns, is_kept = ctx.model, ctx.turns, name in KEPT_HOOKS
        for place, method, waiting in calls:
            trained = model.training
            if is_kept:
                turns.hook, turns.callbacks = name, waiting  # a checkpoint that it takes counts it as called
            try:
                method(ctx, *more)
            except BaseException:
                if is_kept:
                    turns.callbacks = (place, *waiting)
                raise
            if trained and not model.training:
                self._tell_mode(method, name)

    def _tell_mode(self, method: Callable[..., None], name: str) -> None:
        who = type(getattr(method, "__self__", method)).__qualname__
        if who not in self._told_modes:
            self._told_modes.add(who)
            log.warning(
                "`%s` of %s left the model in evaluation mode, in which it trains on: dropout and normalisation act as "
                "in validation. Call `ctx.model.train()` at its end, unless that is meant.",
                name,
                who,
            )

    def hook_exception(self, exc: BaseException) -> None:
        """Call `on_exception` on every callback; one that fails itself hides neither `exc` nor the others.

        They may write it down, so it holds no secret any more.
        """
        hide_in(exc)
        for callback in self.ctx.callbacks:
            try:
                if hasattr(callback, "on_exception"):
                    callback.on_exception(self.ctx, exc)
            except Exception as failed:  # noqa: BLE001 - the first error is the one that is raised
                report_failed(callback, "on_exception", failed, exc)

    def log(self, metrics: dict[str, float], stage: str) -> None:
        """Hand a row to every logger that takes rows."""
        for logger in self.ctx.loggers:
            if hasattr(logger, "log_metrics"):
                logger.log_metrics(metrics, step=self.ctx.state.global_step, stage=stage)

    def log_arrays(self) -> None:
        """Hand what metrics computed and is no number to every logger that takes arrays; say once if there is none."""
        for stage, found in self.arrays.take().items():
            takers = [logger for logger in self.ctx.loggers if hasattr(logger, "log_arrays")]
            for logger in takers:
                arrays = {name: array.tensor().numpy() for name, array in found.items()}
                logger.log_arrays(arrays, step=self.ctx.state.global_step, stage=stage)
            if not takers and not self.told_arrays:
                self.told_arrays = True
                log.warning("no logger keeps arrays, such as `%s`: `log.json_lines` does", next(iter(found)))

    def log_hparams(self, trainer: Any) -> None:
        """Hand the whole config, without secrets, to every logger that takes it."""
        hparams = self.ctx.run.config or {"run": dict(self.ctx.run), "trainer": vars(trainer)}
        for logger in self.ctx.loggers:
            if hasattr(logger, "log_hparams"):
                logger.log_hparams(json.loads(masked(json.dumps(hparams, default=str))))

    def epoch(self, most: int | None = None) -> Iterator[Any]:
        """Return what is left of the current epoch's training batches, or the next `most` of it, on the device."""
        batches, self.first_epoch = self.first_epoch, None
        if batches is None:
            state = self.ctx.state
            batches = self.ctx.train.epoch(state.epoch, state.micro_step_in_epoch)
        if most is not None:
            batches = islice(batches, most)
        return self.accelerator.placed(batches, ahead=not self.ctx.train.is_stateful)

    def give_up(self) -> None:
        """Load no more data: whoever stopped training shall not wait for it."""
        self.ctx.train.give_up()
        self.val.give_up()

    def close(self, first: BaseException | None = None) -> None:
        """Close loaders and loggers, each whatever another one raises.

        `first` is the error that ended the run, which none of theirs hides; without it, raises the first of theirs.
        """
        failed = first
        for part in (self.ctx.train, self.val, *self.ctx.loggers):
            try:
                if hasattr(part, "close"):
                    part.close()
            except Exception as error:  # noqa: BLE001 - the first error is the one that is raised
                if failed is not None:
                    report_failed(part, "close", error, failed)
                failed = failed or error
        if failed is not None and failed is not first:
            raise failed


def hook_of(callback: Any, name: str) -> Callable[..., None] | None:
    """Return a hook of a callback; None where it has none, or only what the protocol says."""
    hook: Callable[..., None] | None = getattr(callback, name, None)
    return None if is_optional(hook) else hook


def with_waiting(calls: Sequence[Call]) -> list[tuple[int, Callable[..., None], tuple[int, ...]]]:
    """Return calls of a hook, each with the places of those that come after it."""
    return [(place, method, places_of(calls[number:])) for number, (place, method) in enumerate(calls, 1)]


def places_of(calls: Sequence[Call]) -> tuple[int, ...]:
    return tuple(place for place, _ in calls)


def report_failed(part: Any, method: str, failed: Exception, first: BaseException) -> None:
    """Log what a method of a part raised after the `first` error, which is the one that ends the run."""
    from otrainer.diagnostics.drawing import draw, draw_error  # drawn only where something fails
    from otrainer.diagnostics.exceptions import cannot_write, unexplained

    if isinstance(failed, ConfigError):
        log.error("%s", draw_error(failed))
    else:
        report = draw(cannot_write(failed) or unexplained(failed, after=first))
        log.error("%s of %s failed as well: %s", method, type(part).__qualname__, report)
