"""The calls of modules within a node's module, as they are made, and what each of them costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn.modules import module as nn_module

from otrainer.commands.show_model.estimate import Row
from otrainer.commands.show_model.labels import describe_arguments
from otrainer.commands.show_model.memory import parameter_count

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Meter:
    """FLOPs and saved bytes so far."""

    flops: Callable[[], int]
    saved: Callable[[], int]

    def read(self) -> tuple[int, int]:
        return self.flops(), self.saved()

    def since(self, before: tuple[int, int]) -> tuple[int, int]:
        return self.flops() - before[0], self.saved() - before[1]


class SubmoduleCalls:
    """Records the calls of a node's module, and of those that it calls, in the context of `recorded`."""

    def __init__(self, module: nn.Module | None, meter: Meter) -> None:
        self.meter = meter
        self.names = {} if module is None else {id(each): name for name, each in module.named_modules()}
        self.rows: list[Row] = []
        self.stack: list[tuple[nn.Module, Any, tuple[int, int]]] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        hooks = (
            nn_module.register_module_forward_pre_hook(self._enter),
            nn_module.register_module_forward_hook(self._leave),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def innermost(self, node_arguments: str) -> tuple[str, str]:
        """Return name and inputs of the module that was running; for the node itself, no name and its own arguments."""
        if len(self.stack) < 2:
            return "", node_arguments
        module, inputs, _ = self.stack[-1]
        return self._name(module), describe_arguments(inputs, {})

    def several(self) -> list[Row]:
        """Return a row for each call that the node's module makes, if it makes more than one."""
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
            self.rows.append(Row(name, type(module).__name__, value, parameter_count(module), *counts, depth=1))
