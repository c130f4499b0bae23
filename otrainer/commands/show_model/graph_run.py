"""A model run node by node on tensors without numbers: what comes out of each, what it costs, and where it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from otrainer.commands.show_model.calls import Meter, SubmoduleCalls, spent
from otrainer.commands.show_model.estimate import Row
from otrainer.commands.show_model.fake import explain, needs_numbers
from otrainer.commands.show_model.labels import describe_arguments, label
from otrainer.commands.show_model.memory import parameter_count
from otrainer.config.walk import walk
from otrainer.model.lazy import has_lazy, materialize

if TYPE_CHECKING:
    from otrainer.model.ir import Node


class Unknown:
    """Stands for what a node gives that could not be followed."""


UNKNOWN = Unknown()
BROKEN = "it fails"
DEPENDS = "what it is given is unchecked"
Call = Callable[[fx.Node, nn.Module | None, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True)
class Break:
    """A node that fails: with what, at which module inside of it (none for itself), and what this was given."""

    node: Node
    error: Exception
    inside: str
    given: str


@dataclass
class GraphRun:
    """A run of a model's graph. `failed` are errors of lazy widths, by node, from the run that looked for them."""

    model: nn.Module
    meter: Meter
    labels: Mapping[str, str]
    failed: Mapping[str, Exception] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)

    def run(self, graph: fx.Graph, inputs: Mapping[str, Any]) -> Any:
        """Return what the model does, with UNKNOWN where it could not be followed."""
        self.rows += [Row(name, "input", value) for name, value in inputs.items()]
        return run_graph(self.model, graph, inputs, self._call)

    def _call(self, node: fx.Node, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step: Node = node.meta["node"]
        row = Row(label(step), self.labels[step.name], UNKNOWN, 0 if module is None else parameter_count(module))
        if has_unknown((args, kwargs)):
            return self._leave_unknown(node, row, DEPENDS)
        calls, before = SubmoduleCalls(module, self.meter), self.meter()
        try:
            with calls.recorded():
                value = self._compute(node, module, args, kwargs)
        except Exception as error:  # noqa: BLE001 - whatever a module raises is reported with its place
            if needs_numbers(error):
                return self._leave_unknown(node, row, explain(error))
            self.breaks.append(Break(step, error, *calls.innermost(describe_arguments(args, kwargs))))
            return self._leave_unknown(node, row, BROKEN)
        if not unpacks(node):
            flops, saved = spent(self.meter, before)
            inside = calls.rows if len(calls.rows) > 1 else []
            self.rows += [replace(row, value=value, flops=flops, saved=saved), *inside]
        return value

    def _compute(self, node: fx.Node, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if error := self.failed.get(node.meta["node"].name):
            raise error
        return compute(node, module, args, kwargs)

    def _leave_unknown(self, node: fx.Node, row: Row, why: str) -> Unknown:
        """Note that a node, or what it returned, could not be followed, and why."""
        if not unpacks(node):
            self.rows.append(replace(row, unchecked=why))
        elif not self.rows[-1].unchecked:
            self.rows[-1] = replace(self.rows[-1], unchecked=why)
        return UNKNOWN


def run_graph(model: nn.Module, graph: fx.Graph, inputs: Mapping[str, Any], call: Call) -> Any:
    """Return what the graph does for `inputs` by name, its calls made by `call`, which is given the node's module."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "output":
            return args[0]
        if node.op == "placeholder":
            values[node] = inputs[str(node.target)]
        else:
            module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
            values[node] = call(node, module, args, kwargs)
    return None


def unpacks(node: fx.Node) -> bool:
    """Return whether a node only takes apart what its call returned."""
    return any(before.meta["node"] is node.meta["node"] for before in node.all_input_nodes)


def compute(node: fx.Node, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target: Any = node.target if module is None else module
    return target(*args, **kwargs)


def materialize_lazy(model: nn.Module, graph: fx.Graph, inputs: Mapping[str, Any]) -> dict[str, Exception]:
    """Give lazy widths their shapes, as far as the model can be followed on the meta device.

    Returned are the errors of nodes whose widths stay open, by the nodes' names.
    """
    failed: dict[str, Exception] = {}

    def call(node: fx.Node, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if has_unknown((args, kwargs)):
            return UNKNOWN
        try:
            if module is not None:
                materialize(module, args, kwargs)
            with torch.no_grad():
                return compute(node, module, args, kwargs)
        except Exception as error:  # noqa: BLE001 - the run that follows reports it
            if module is not None and has_lazy(module):
                failed[node.meta["node"].name] = error
            return UNKNOWN

    if has_lazy(model):
        run_graph(model, graph, inputs, call)
    return failed


def has_unknown(value: Any) -> bool:
    return any(part is UNKNOWN for _, part in walk(value))
