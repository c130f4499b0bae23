"""What goes wrong in a compiled model, whose traceback says nothing of its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from otrainer.diagnostics.exceptions import Raised, Step
from otrainer.model.codegen import FILE
from otrainer.model.generated import GeneratedModel
from otrainer.model.lines import line_of
from otrainer.stages.failures.calls import find_call, model_call
from otrainer.stages.failures.layers import in_call
from otrainer.stages.failures.memory import context_of

if TYPE_CHECKING:
    from otrainer.errors import Finding
    from otrainer.model.ir import ModelIR, Node
    from otrainer.stages.failures.failure import Failure

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")
RUNS_COMPILED = "_dynamo"  # torch's package around every compiled call
FROM_HERE = "from user code:"  # in a compiler's message, before the lines that stand in the report anyway


def in_compiled(failure: Failure, ir: ModelIR) -> Finding | None:
    """What a compiled call raised: that of the same call without the compiler, else of the compiler itself.

    None for what comes from elsewhere, and for what has its line in the forward.
    """
    if find_call(failure.raised.steps, ir) or not any(RUNS_COMPILED in step.file for step in failure.raised.steps):
        return None
    repeated = again(failure.raised.steps)
    if repeated is not None:
        plain = replace(failure, raised=Raised.of(repeated, within=frozenset({id(failure.error)})))
        if call := find_call(plain.raised.steps, ir):
            return in_call(plain, call, ir)
    return by_compiler(failure, ir) if type(failure.error).__module__.startswith(COMPILERS) else None


def again(steps: Sequence[Step]) -> BaseException | None:
    """What the model raises when it is called once more as `steps` did, uncompiled; None where it does not, or never
    was called.

    The run has failed, so whatever the call leaves behind in the model is of no matter.
    """
    call = model_call(steps)
    if call is None:
        return None
    model, args, kwargs = call
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None


def by_compiler(failure: Failure, ir: ModelIR) -> Finding:
    """What torch.compile makes of a model that runs without it."""
    node = node_at(failure.raised.steps, ir)
    related = [] if node is None else [(f"in the node `{node.name}`", ir.spec_path(node))]
    what, _, _ = failure.raised.said.partition(FROM_HERE)
    message = [f"torch.compile raised {what.rstrip()}"]
    hint = "The model runs uncompiled: `run.compile: false` trains it."
    path = ("run", "compile")
    return failure.finding("could not compile the model", message, path, steps=(), related=related, hint=hint)


def node_at(steps: Sequence[Step], ir: ModelIR) -> Node | None:
    """The node whose line the compiler was at."""
    context = context_of(steps)
    model = context.model if context else None
    at = next((step.line for step in reversed(steps) if step.file.startswith(FILE) and step.frame is None), None)
    line = line_of(type(model), at) if isinstance(model, GeneratedModel) and at else None
    return line.node(ir) if line else None
