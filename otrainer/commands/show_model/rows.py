"""A row for each call: of a node, and of the modules that a node's module calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules import module as nn_module

from otrainer.commands.show_model.words import given


@dataclass(frozen=True)
class Row:
    """One call: of a node, or (`depth` 1) of a module inside of it. `value` is what came out, with shapes only.

    `flops` are the forward pass's, `saved` the bytes that it adds to what is kept for the backward pass; `unchecked`
    says why it could not be followed.
    """

    name: str
    call: str
    value: Any = None
    parameters: int = 0
    flops: int = 0
    saved: int = 0
    depth: int = 0
    unchecked: str = ""


@dataclass
class Meter:
    """FLOPs and saved bytes so far."""

    flops: Callable[[], int]
    saved: Callable[[], int]

    def read(self) -> tuple[int, int]:
        return self.flops(), self.saved()

    def since(self, before: tuple[int, int]) -> tuple[int, int]:
        return self.flops() - before[0], self.saved() - before[1]


class Inside:
    """The modules that a node's module calls, as they are called."""

    def __init__(self, module: nn.Module | None, meter: Meter) -> None:
        self.meter = meter
        self.names: dict[int, str] = {}
        if module is not None:
            self.names = {id(each): name for name, each in module.named_modules()}
        self.rows: list[Row] = []
        self.stack: list[tuple[nn.Module, Any, tuple[int, int]]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes every call in this context."""
        hooks = (
            nn_module.register_module_forward_pre_hook(self._enter),
            nn_module.register_module_forward_hook(self._leave),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def innermost(self, node_given: str) -> tuple[str, str]:
        """Name and inputs of the module that was running; for the node itself, no name and what that was given."""
        if len(self.stack) < 2:
            return "", node_given
        module, inputs, _ = self.stack[-1]
        return self._name(module), given(inputs, {})

    def worth_telling(self) -> list[Row]:
        """A row for each call that the node's module makes, if there are several."""
        return self.rows if len(self.rows) > 1 else []

    def _name(self, module: nn.Module) -> str:
        return self.names.get(id(module)) or type(module).__name__

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.stack.append((module, args, self.meter.read()))

    def _leave(self, module: nn.Module, _args: Any, value: Any) -> None:
        while self.stack[-1][0] is not module:  # one that raised, which whoever called it took care of
            self.stack.pop()
        _, _, before = self.stack.pop()
        if len(self.stack) == 1:
            name, counts = self._name(module), self.meter.since(before)
            self.rows.append(Row(name, type(module).__name__, value, parameters_of(module), *counts, depth=1))


def parameters_of(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters() if not nn.parameter.is_lazy(each))
