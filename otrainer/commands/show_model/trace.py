"""A model run node by node on tensors without numbers: what comes out of each, what it costs, and where it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from otrainer.commands.show_model.fake import is_unfollowed, reason
from otrainer.commands.show_model.rows import Inside, Meter, Row, parameters_of
from otrainer.commands.show_model.words import given, label
from otrainer.model.lazy import has_lazy, materialize

if TYPE_CHECKING:
    from otrainer.model.ir import Node


class Unknown:
    """Stands for what a node gives that could not be followed."""


UNKNOWN = Unknown()
BROKEN = "it fails"
DEPENDS = "what it is given is unchecked"


@dataclass(frozen=True)
class Break:
    """A node that fails: with what, at which module inside of it (none for itself), and what this was given."""

    node: Node
    error: Exception
    inside: str
    given: str


@dataclass
class Trace:
    """A run of a model's graph. `failed` are errors of lazy widths, by node, from the run that looked for them."""

    model: nn.Module
    meter: Meter
    calls: Mapping[str, str]
    failed: Mapping[str, Exception] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)

    def run(self, graph: fx.Graph, inputs: Mapping[str, Any]) -> Any:
        """What the model returns, with UNKNOWN where it could not be followed."""
        self.rows += [Row(name, "input", value) for name, value in inputs.items()]
        return walk(graph, inputs, self._call)

    def _call(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step: Node = node.meta["node"]
        module = self.model.get_submodule(str(node.target)) if node.op == "call_module" else None
        row = Row(label(step), self.calls[step.name], UNKNOWN, 0 if module is None else parameters_of(module))
        if unknown_in((args, kwargs)):
            return self._left(node, row, DEPENDS)
        inside, before = Inside(module, self.meter), self.meter.read()
        try:
            with inside.watched():
                value = self._computed(node, args, kwargs)
        except Exception as error:  # noqa: BLE001 - whatever a module raises is told with its place
            if is_unfollowed(error):
                return self._left(node, row, reason(error))
            self.breaks.append(Break(step, error, *inside.innermost(given(args, kwargs))))
            return self._left(node, row, BROKEN)
        if not is_part(node):
            flops, saved = self.meter.since(before)
            self.rows += [replace(row, value=value, flops=flops, saved=saved), *inside.worth_telling()]
        return value

    def _computed(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        earlier = self.failed.get(node.meta["node"].name)
        if earlier is not None:
            raise earlier
        return called(node, self.model, args, kwargs)

    def _left(self, node: fx.Node, row: Row, why: str) -> Unknown:
        """Note that a node, or what it returned, could not be followed, and why."""
        if not is_part(node):
            self.rows.append(replace(row, unchecked=why))
        elif not self.rows[-1].unchecked:
            self.rows[-1] = replace(self.rows[-1], unchecked=why)
        return UNKNOWN


def walk(graph: fx.Graph, inputs: Mapping[str, Any], call: Callable[..., Any]) -> Any:
    """What the graph returns for `inputs` by name, its calls made by `call`."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "output":
            return args[0]
        values[node] = inputs[str(node.target)] if node.op == "placeholder" else call(node, args, kwargs)
    return None


def is_part(node: fx.Node) -> bool:
    """Whether a node only takes apart what its call returned."""
    return any(before.meta["node"] is node.meta["node"] for before in node.all_input_nodes)


def called(node: fx.Node, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target: Any = model.get_submodule(str(node.target)) if node.op == "call_module" else node.target
    return target(*args, **kwargs)


def settle_lazy(model: nn.Module, graph: fx.Graph, inputs: Mapping[str, Any]) -> dict[str, Exception]:
    """Let lazy widths have their shapes, as far as the model can be followed on the meta device.

    Returned are the errors of nodes whose widths stay open, by the nodes' names.
    """
    failed: dict[str, Exception] = {}

    def call(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if unknown_in((args, kwargs)):
            return UNKNOWN
        try:
            if module is not None and has_lazy(module):
                materialize(module, args, kwargs)
            with torch.no_grad():
                return called(node, model, args, kwargs)
        except Exception as error:  # noqa: BLE001 - it is told by the run that follows
            if module is not None and has_lazy(module):
                failed[node.meta["node"].name] = error
            return UNKNOWN

    if has_lazy(model):
        walk(graph, inputs, call)
    return failed


def unknown_in(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(unknown_in, value.values()))
    return any(map(unknown_in, value)) if isinstance(value, list | tuple) else value is UNKNOWN
