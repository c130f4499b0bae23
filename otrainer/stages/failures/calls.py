"""The call of a model's forward in which an exception rose, found in its traceback: no forward pays for it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from otrainer.model.codegen import FILE
from otrainer.model.generated import GeneratedModel
from otrainer.model.lines import line_of
from otrainer.stages.failures.failure import CALLS
from otrainer.stages.failures.parts import runs, subject_of

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.model.ir import ModelIR, Node


@dataclass(frozen=True)
class Call:
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


def find_call(steps: Sequence[Step], ir: ModelIR) -> Call | None:
    """The innermost call of a generated forward among `steps`, with the places of `ir`."""
    for number in range(len(steps) - 1, -1, -1):
        frame = steps[number].frame
        model = subject_of(frame) if frame else None
        if frame is not None and steps[number].file.startswith(FILE) and runs(model, ir.program):
            line = line_of(type(model), steps[number].line)
            if line is None:
                return None
            local = frame.f_locals
            inputs = {name: local[variable] for name, variable in line.takes.items() if variable in local}
            return within(Call(line.node(ir), inputs, steps[number + 1 :]), model)
    return None


def within(call: Call, model: GeneratedModel) -> Call:
    """The same call, with the innermost module of `model` that it went into."""
    if call.node.kind != "module":
        return call
    own = call.node.target
    names = {id(module): name for name, module in model.get_submodule(own).named_modules(prefix=own)}
    for step in reversed(call.steps):
        module = subject_of(step.frame) if step.frame else None
        if step.frame and step.function in CALLS and isinstance(module, nn.Module) and id(module) in names:
            inner = names[id(module)].removeprefix(own).removeprefix(".")
            given = named(module, step.frame.f_locals["args"], step.frame.f_locals["kwargs"])
            return replace(call, inner=inner, module=module, given=given)
    return call


def named(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a forward by name, by number where they do not fit it."""
    try:
        return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**{str(number): value for number, value in enumerate(args)}, **kwargs}


def model_call(steps: Sequence[Step]) -> tuple[GeneratedModel, Sequence[Any], Mapping[str, Any]] | None:
    """The innermost call of a model as a whole among `steps`, with its arguments."""
    for step in reversed(steps):
        model = subject_of(step.frame) if step.frame else None
        if step.frame and step.function in CALLS and isinstance(model, GeneratedModel):
            return model, step.frame.f_locals["args"], step.frame.f_locals["kwargs"]
    return None
