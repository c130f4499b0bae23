"""The calls of modules within a node's module, as they are made, and what each of them costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch.nn.modules import module as nn_module
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from otrainer.commands.show_model.estimate import Row
from otrainer.commands.show_model.labels import describe_arguments
from otrainer.commands.show_model.memory import parameter_count

if TYPE_CHECKING:
    from torch import nn


# FLOPs and saved bytes so far.
Meter: TypeAlias = Callable[[], tuple[int, int]]


def spent(meter: Meter, before: tuple[int, int]) -> tuple[int, int]:
    """Return the FLOPs and bytes since `before`."""
    flops, saved = meter()
    return flops - before[0], saved - before[1]


def flop_counter() -> FlopCounterMode:
    """Count a multiplication and an addition as two, as torch does, for matrix products and convolutions.

    The attention that torch computes on the CPU counts like its fused ones elsewhere, causal or not.
    """
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    forward, backward = getattr(torch.ops.aten, attention), getattr(torch.ops.aten, f"{attention}_backward")
    formulas: dict[Any, Any] = {
        forward: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
        backward: lambda *shapes, **_: sdpa_backward_flop_count(*shapes[:4]),
    }
    missing = {op: formula for op, formula in formulas.items() if op not in flop_registry}
    return FlopCounterMode(display=False, custom_mapping=missing)


class SubmoduleCalls:
    """Records the calls of a node's module, and of those that it calls, in the context of `recorded`."""

    def __init__(self, module: nn.Module | None, meter: Meter) -> None:
        self.meter = meter
        self.names = {} if module is None else {id(each): name for name, each in module.named_modules()}
        self.rows: list[Row] = []
        self.stack: list[tuple[nn.Module, Any, tuple[int, int]]] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        before = nn_module.register_module_forward_pre_hook(self._enter)
        after = nn_module.register_module_forward_hook(self._leave)
        with before, after:
            yield

    def innermost(self, node_arguments: str) -> tuple[str, str]:
        """Return name and inputs of the module that was running; for the node itself, no name and its own arguments."""
        if len(self.stack) < 2:
            return "", node_arguments
        module, inputs, _ = self.stack[-1]
        return self._name(module), describe_arguments(inputs, {})

    def _name(self, module: nn.Module) -> str:
        return self.names.get(id(module)) or type(module).__name__

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.stack.append((module, args, self.meter()))

    def _leave(self, module: nn.Module, _args: Any, value: Any) -> None:
        while self.stack[-1][0] is not module:  # one that raised, which whoever called it took care of
            self.stack.pop()
        _, _, before = self.stack.pop()
        if len(self.stack) == 1:
            name, counts = self._name(module), spent(self.meter, before)
            self.rows.append(Row(name, type(module).__name__, value, parameter_count(module), *counts, depth=1))
