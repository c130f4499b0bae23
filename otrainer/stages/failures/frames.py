"""What the frames of a traceback still hold: the context of the run, its batch, the call of its model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import nn

from otrainer.engine.state import RunContext
from otrainer.engine.tree import leaves
from otrainer.model.codegen import FILE, line_of
from otrainer.model.generated import GeneratedModel

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.model.ir import ModelIR, Node, Program

MODULE_CALLS = ("_call_impl", "_wrapped_call_impl")  # in torch, around the forward of every module


def variables(step: Step) -> Mapping[str, Any]:
    """Return the local variables of a step; none where its frame is in another process."""
    return step.frame.f_locals if step.frame else {}


def arguments(step: Step) -> dict[str, Any]:
    """Return what the function of a step was called with, as far as its names still hold it."""
    if step.frame is None:
        return {}
    code, local = step.frame.f_code, variables(step)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: local[name] for name in names if name in local}


def receiver(step: Step) -> Any:
    """Return the object whose method a step is in, if it is in a method."""
    code = step.frame.f_code if step.frame else None
    return variables(step).get("self") if code and code.co_argcount and code.co_varnames[0] == "self" else None


def find_context(steps: Sequence[Step]) -> RunContext | None:
    """Return the context of the run, from the loop's own variables or a hook's."""
    for step in reversed(steps):
        for name in ("ctx", "session"):
            value = variables(step).get(name)
            value = getattr(value, "ctx", value)
            if isinstance(value, RunContext):
                return value
    return None


def find_batch(steps: Sequence[Step]) -> Any:
    """Return the batch that was being worked on, by the name that loops give it."""
    batches = (variables(step).get("batch") for step in reversed(steps))
    return next((batch for batch in batches if any(True for _ in leaves(batch))), None)


def runs(value: object, program: Program) -> TypeGuard[GeneratedModel]:
    """Return whether an object is a run's model, or a copy of it: one of another config has other nodes."""
    return isinstance(value, GeneratedModel) and repr(value.program) == repr(program)


@dataclass(frozen=True)
class NodeCall:
    """A node's call that failed: its inputs by name, and the innermost named module in it, as deep as that is known.

    `inner` is that module's path from the node's own (`body.0`), `module` itself and `given` its arguments; `steps` are
    those within the call.
    """

    node: Node
    inputs: Mapping[str, Any]
    steps: Sequence[Step]
    inner: str = ""
    module: nn.Module | None = None
    given: Mapping[str, Any] | None = None


def find_node_call(steps: Sequence[Step], ir: ModelIR) -> NodeCall | None:
    """Return the innermost call of a generated forward among `steps`, with the places of `ir`."""
    for number in range(len(steps) - 1, -1, -1):
        model = receiver(steps[number])
        if not steps[number].file.startswith(FILE):
            continue
        own = next((each for each in ir.generated if runs(model, each.program)), None)
        if own is not None:
            line = line_of(type(model), steps[number].line)
            if line is None:
                return None
            local = variables(steps[number])
            inputs = {name: local[variable] for name, variable in line.takes.items() if variable in local}
            return with_innermost_module(NodeCall(line.node(own), inputs, steps[number + 1 :]), model)
    return None


def with_innermost_module(call: NodeCall, model: GeneratedModel) -> NodeCall:
    """Return the same call, with the innermost module of `model` that it went into."""
    if call.node.kind != "module":
        return call
    own = call.node.target
    names = {id(module): name for name, module in model.get_submodule(own).named_modules(prefix=own)}
    for step in reversed(call.steps):
        module = receiver(step)
        if step.function in MODULE_CALLS and isinstance(module, nn.Module) and id(module) in names:
            inner, local = names[id(module)].removeprefix(own).removeprefix("."), variables(step)
            return replace(call, inner=inner, module=module, given=bind(module, local["args"], local["kwargs"]))
    return call


def bind(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a forward by name, by number where they do not fit it."""
    try:
        return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**{str(number): value for number, value in enumerate(args)}, **kwargs}


def find_model_call(steps: Sequence[Step]) -> tuple[GeneratedModel, Sequence[Any], Mapping[str, Any]] | None:
    """Return the innermost call of a model as a whole among `steps`, with its arguments."""
    for step in reversed(steps):
        model = receiver(step)
        if step.function in MODULE_CALLS and isinstance(model, GeneratedModel):
            return model, variables(step)["args"], variables(step)["kwargs"]
    return None
