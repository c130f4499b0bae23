"""What a trainer's own step does by its context: run the model, take gradients, and step optimizers by their names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from otrainer.engine.optimizer import clear_gradients, due, members, only

if TYPE_CHECKING:
    import torch


class StepMethods:
    """What `protocols.StepContext` adds to a context; `own` is the `OwnStep` that does it, if the trainer has one."""

    model: torch.nn.Module
    optimizer: Any
    own: Any

    @property
    def models(self) -> dict[str, torch.nn.Module]:
        return dict(self.model.named_children())

    @property
    def optimizers(self) -> Mapping[str, Any]:
        return members(self.optimizer)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._acting.session.forward(*args, **kwargs)

    def backward(self, loss: torch.Tensor, *, retain_graph: bool = False) -> None:
        self._acting.backward(loss, retain_graph=retain_graph)

    def step(self, name: str | None = None) -> None:
        self._acting.step(name)

    def zero_grad(self, name: str | None = None) -> None:
        for each in members(self.optimizer, name).values():
            clear_gradients(each)

    def only(self, name: str) -> AbstractContextManager[None]:
        return only(self.optimizer, name)

    def is_due(self, name: str) -> bool:
        members(self.optimizer, name)
        return name in due(self.optimizer)

    def update_metrics(self, outputs: Any, targets: Any, batch: Any) -> None:
        self._acting.update_metrics(outputs, targets, batch)

    @property
    def _acting(self) -> Any:
        if self.own is None:
            raise RuntimeError("Only `training_step` and `validation_step` of a trainer act by this.")
        return self.own
