"""Steps that a trainer of the user's defines: what they return is trained on, unless they step the optimizers too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.boundary import UPDATING
from otrainer.engine.logs import detached
from otrainer.engine.loss_check import check_loss
from otrainer.engine.metrics import update_metrics
from otrainer.engine.optimizer import clear_gradients, drop_fused, due, members
from otrainer.errors import ConfigError
from otrainer.protocols import ArgsKwargs, LossOutput

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.state import RunContext

OUTSIDE = "Call it in `training_step`, with the `ctx` that this is given."


class OwnStep:
    """A trainer's own `training_step` and `validation_step`, where it has them, and what one does to the run.

    `bound` clips the gradients of an optimizer, `gathers` is the argument by which steps have several micro-batches,
    if they do. `number` is that of the micro-batch in its step, None where it was seen
    before; `stepped` says whether the last one stepped an optimizer itself, `is_whole` whether fp16 left none out.
    """

    def __init__(
        self,
        training: Callable[..., Any] | None,
        validation: Callable[..., Any] | None,
        bound: Callable[..., None],
        gathers: str | None,
    ) -> None:
        self.trains, self.judges = training is not None, validation is not None
        self._trains, self._judges = training or missing, validation or missing
        self._bound, self._gathers = bound, gathers
        self._session: Session | None = None
        self._looked: set[str] = set()
        self.stage = "train"
        self.number: int | None = None
        self.stepped = self.is_whole = False
        self._since: set[str] = set()  # what was stepped under the scale for fp16 that there is

    def take(self, session: Session, batch: Any, index: int, *, first: bool) -> Any:
        """Return what the trainer's step makes of a step's micro-batch number `index`.

        Raises ConfigError where it neither stepped an optimizer nor returned something to train on.
        """
        self.stepped, self.is_whole, self._since = False, True, set()
        with self._within(session, "train", index if first else None):
            result = self._trains(session.ctx, batch)
        if self.stepped:
            self._end_steps(session)
        return as_output(result, is_done=self.stepped)

    def judge(self, session: Session, batch: Any) -> Any:
        """Return what the trainer's validation makes of a batch: a loss and logs, or logs alone."""
        with self._within(session, "val", None):
            result = self._judges(session.ctx, batch)
        return as_output(result, is_done=True, name="validation_step")

    @contextmanager
    def _within(self, session: Session, stage: str, number: int | None) -> Iterator[None]:
        self._session, self.stage, self.number = session, stage, number
        try:
            with session.accelerator.autocast():
                yield
        finally:
            self._session = None

    @property
    def session(self) -> Session:
        """Return the run under way; raise RuntimeError outside of a step."""
        if self._session is None:
            raise RuntimeError(OUTSIDE)
        return self._session

    def backward(self, loss: torch.Tensor, *, retain_graph: bool) -> None:
        """Add the gradients of a scalar, scaled for fp16. Raises ConfigError for one that is not finite, or no loss."""
        session = self.session
        check_loss(LossOutput(loss), session.ctx.loss)
        session.watch.see(session.watch.read(loss), self.number or 0)
        with session.accelerator.whole():
            session.accelerator.backward(loss, retain_graph=retain_graph)

    def update_metrics(self, outputs: Any, targets: Any, batch: Any) -> None:
        """Let the metrics see a micro-batch, once, whatever an optimizer evaluates again."""
        if self.stage == "val" or self.number is not None:
            update_metrics(self.session, outputs, targets, batch, self.stage, number=self.number)

    def step(self, name: str | None) -> None:
        """Clip the gradients of an optimizer, or of all, step it if it has its turn, and clear its gradients.

        Raises ConfigError where steps accumulate.
        """
        session = self.session
        if self.stage == "val":
            raise RuntimeError("`validation_step` steps no optimizer.")
        if self._gathers is not None:
            raise steps_itself(self._gathers)
        session.boundary.phase = UPDATING  # from here on there is no way back to the last step's end
        self.stepped = True
        has_turn = due(session.ctx.optimizer)
        for own, optimizer in members(session.ctx.optimizer, name).items():
            if own in has_turn:
                with session.accelerator.whole():
                    self._step(session, own, optimizer)
            clear_gradients(optimizer)

    def _end_steps(self, session: Session) -> None:
        self.is_whole &= session.accelerator.end_steps(tells=session.steps_schedule)
        self._since = set()

    def _step(self, session: Session, name: str, optimizer: Any) -> None:
        if name in self._since:  # once more within a step, as a critic is: torch's scaler takes each once
            self._end_steps(session)
        self._since.add(name)
        self._bound(session, name=name)
        if session.chose_fused and name not in self._looked:
            drop_fused(optimizer)
        self._looked.add(name)
        session.accelerator.step_one(optimizer, chose_fused=session.chose_fused)


def own_step(trainer: Any, base: type, bound: Callable[..., None], gathers: str | None) -> OwnStep | None:
    """Return the steps that a trainer's class has instead of those of `base`; None where it has none."""

    def own(name: str) -> Callable[..., Any] | None:
        is_own = getattr(type(trainer), name) is not getattr(base, name) or name in vars(trainer)
        return getattr(trainer, name) if is_own else None

    training, validation = own("training_step"), own("validation_step")
    return OwnStep(training, validation, bound, gathers) if training or validation else None


def own_steps(ctx: RunContext) -> OwnStep | None:
    """Return the trainer's own step if the last one stepped the optimizers itself."""
    own: OwnStep | None = ctx.own
    return own if own is not None and own.stepped else None


def run_parts(ctx: Any, batch: Any, stage: str) -> Any:
    """Return what the loss makes of a batch and the model's outputs, which the metrics see."""
    inputs, targets, _ = ctx.io.split(batch, stage=stage)
    outputs = ctx.forward(*inputs.args, **inputs.kwargs)
    ctx.update_metrics(outputs, targets, batch)
    return ctx.loss(outputs=outputs, targets=targets, batch=batch, stage=stage)


def missing(*_: Any) -> None:
    """Stand for a step that is never asked for."""


def as_output(result: Any, *, is_done: bool, name: str = "training_step") -> Any:
    """Return what a step returned as a loss and logs; logs alone, or nothing, where there is nothing left to train."""
    if hasattr(result, "loss"):
        return result
    if isinstance(result, torch.Tensor):
        return LossOutput(result)
    if is_done and (result is None or isinstance(result, Mapping)):
        return None if result is None else dict(result)
    found = f"a {type(result).__name__}" if result is not None else "None"
    raise ConfigError(
        f"`{name}` returned {found}, and stepped no optimizer.",
        title="not a loss",
        config_path=("trainer",),
        hint="Return `LossOutput(loss=...)` or a scalar tensor, which the trainer then minimises, or call "
        "`ctx.backward(loss)` and `ctx.step()` and return what is to be logged.",
    )


def logs_of(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the row of a step that was taken, with `loss` where it says one."""
    logs = dict(result or {})
    row = detached(0.0, {name: value for name, value in logs.items() if name != "loss"})
    del row["loss"]
    return ({"loss": detached(logs["loss"], None)["loss"]} if "loss" in logs else {}) | row


def steps_itself(gathers: str) -> ConfigError:
    message = "`training_step` steps the optimizers itself, so there is no step over several micro-batches."
    hint = f"Leave `{gathers}` out, and accumulate in `training_step`."
    return ConfigError(message, title="nothing to accumulate", config_path=("trainer", gathers), hint=hint)


def whole_batch(batch: Any) -> ArgsKwargs:
    """Return a batch as inputs, whose first dimension is its number of samples."""
    return ArgsKwargs(args=tuple(batch.values()) if isinstance(batch, Mapping) else (batch,))
