"""Report what goes wrong in a compiled model, whose traceback says nothing of its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from otrainer.diagnostics.exceptions import Raised, Step
from otrainer.model.codegen import FILE
from otrainer.model.generated import GeneratedModel
from otrainer.model.lines import line_of
from otrainer.stages.failures.forward_call import find_model_call, find_node_call
from otrainer.stages.failures.frames import find_context
from otrainer.stages.failures.model_report import report_node

if TYPE_CHECKING:
    from otrainer.errors import Finding
    from otrainer.model.ir import Node
    from otrainer.stages.failures.failure import Failure

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")
RUNS_COMPILED = "_dynamo"  # torch's package around every compiled call
FROM_HERE = "from user code:"  # in a compiler's message, before the lines that stand in the report anyway


def report_compiled_call(failure: Failure) -> Finding | None:
    """Report what the same call raises without the compiler, else the compiler's own failure.

    None for what comes from elsewhere, and for what has its line in the forward.
    """
    steps = failure.raised.steps
    if find_node_call(steps, failure.ir) or not any(RUNS_COMPILED in step.file for step in steps):
        return None
    repeated = call_uncompiled(steps)
    if repeated is not None:
        plain = replace(failure, raised=Raised.of(repeated, within=frozenset({id(failure.error)})))
        if call := find_node_call(plain.raised.steps, failure.ir):
            return report_node(plain, call)
    return report_compiler(failure) if type(failure.error).__module__.startswith(COMPILERS) else None


def call_uncompiled(steps: Sequence[Step]) -> BaseException | None:
    """Return what the model raises when it is called once more as in `steps`, uncompiled; None without such a call.

    The run has failed, so whatever the call leaves behind in the model is of no matter.
    """
    call = find_model_call(steps)
    if call is None:
        return None
    model, args, kwargs = call
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None


def report_compiler(failure: Failure) -> Finding:
    """Report a model that torch.compile does not take, though it runs without it."""
    node = find_node_compiled(failure)
    related = [] if node is None else [(f"in the node `{node.name}`", failure.ir.spec_path(node))]
    what, _, _ = failure.raised.summary.partition(FROM_HERE)
    message = [f"torch.compile raised {what.rstrip()}"]
    hint = "The model runs uncompiled: `run.compile: false` trains it."
    return failure.finding("could not compile the model", message, ("run", "compile"), related=related, hint=hint)


def find_node_compiled(failure: Failure) -> Node | None:
    """Return the node whose line the compiler was at."""
    steps = failure.raised.steps
    context = find_context(steps)
    model = context.model if context else None
    at = next((step.line for step in reversed(steps) if step.file.startswith(FILE) and step.frame is None), None)
    line = line_of(type(model), at) if isinstance(model, GeneratedModel) and at else None
    return line.node(failure.ir) if line else None
