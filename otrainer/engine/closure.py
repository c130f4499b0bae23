"""Steps of optimizers that evaluate the loss themselves, as LBFGS does, and sharpness-aware ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.boundary import UPDATING
from otrainer.engine.gradients import Group, evaluate, look_first
from otrainer.engine.optimizer import call_step, held

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.weights import Shares

Rows = list[dict[str, Any]]


class Evaluation:
    """Loss and gradients of a step's batches, taken once beforehand, and again where parameters have changed since.

    So an optimizer finds gradients when it steps, as some expect, and one that asks for the loss first costs no more.
    """

    def __init__(self, session: Session, group: Group, bound: Callable[..., None]) -> None:
        self._session, self._group, self._bound = session, group, bound
        self.first = self._take(first=True)

    def __call__(self) -> torch.Tensor:
        """Return the loss at the parameters as they are now, with its gradients in place."""
        if self._seen != self._versions() or any(each.grad is not known for each, known in self._gradients):
            with torch.enable_grad():
                self._take(first=False)
        return self._loss

    def _take(self, *, first: bool) -> tuple[Rows, Shares]:
        rows, shares = evaluate(self._session, self._group, first=first)
        self._bound(self._session, first=first)
        self._loss = shares.loss(rows, self._session.ctx.device)
        self._seen = self._versions()
        self._gradients = [(each, each.grad) for each in held(self._session.ctx.optimizer)]
        return rows, shares

    def _versions(self) -> list[int]:
        return [parameter._version for parameter in held(self._session.ctx.optimizer)]


def step_by_closure(session: Session, group: Group, bound: Callable[..., None]) -> tuple[Rows, Shares]:
    """Take a step of an optimizer that evaluates the loss itself; the first time is the one that is logged."""
    optimizer = session.ctx.optimizer
    evaluation = Evaluation(session, group, bound)
    rows, shares = evaluation.first
    if session.is_first_step:
        look_first(session, rows)
    session.boundary.phase = UPDATING
    # torch means a float, or a tensor of one
    call_step(lambda: optimizer.step(evaluation), chose_fused=False)  # type: ignore[arg-type]
    return rows, shares
