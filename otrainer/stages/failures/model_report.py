"""Report a model that failed: its node with the inputs' shapes, and its place in the config.

The traceback of a compiled model says nothing of its lines: it is called once more without the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from otrainer.diagnostics.exceptions import MEND, Raised
from otrainer.model.codegen import FILE, line_of
from otrainer.model.generated import GeneratedModel
from otrainer.stages.failures.advice import advise_on_layer, advise_on_message
from otrainer.stages.failures.describe import describe
from otrainer.stages.failures.frames import NodeCall, find_context, find_model_call, find_node_call

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.errors import Finding
    from otrainer.model.ir import Node
    from otrainer.stages.failures.failure import Failure

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")
RUNS_COMPILED = "_dynamo"  # torch's package around every compiled call
FROM_HERE = "from user code:"  # in a compiler's message, before the lines that stand in the report anyway


def report_model(failure: Failure) -> Finding | None:
    """Report what a model's forward raised; None for what comes from elsewhere."""
    if failure.path[:1] != ("model",):
        return None
    call = find_node_call(failure.raised.steps, failure.ir)
    return report_whole_model(failure) if call is None else report_node(failure, call)


def report_node(failure: Failure, call: NodeCall) -> Finding:
    """Report what the call of a node raised, with its inputs."""
    spec = failure.ir.spec_path(call.node)
    called = [] if call.node.path == spec else [("called here", call.node.path)]
    inputs = [f"input `{name}`: {describe(value)}" for name, value in call.inputs.items()]
    message = [f"{name_of(call, failure)} raised {failure.raised.summary}", *inputs, *inner_lines(call)]
    own = any(step.is_own for step in failure.inside)
    hint = (
        advise_on_layer(call, written=failure.components.of_object(call.module) is not None)
        or advise_on_message(failure.error, failure.raised)
        or (MEND if own else "`doit show EXP=NAME MODEL=1` shows the shapes at every node.")
    )
    title = "layer failed" if call.node.kind == "module" else "op failed"
    # A module may be built of others that the config writes within it: the innermost of them is the one.
    path = failure.path if failure.path[: len(spec)] == spec else spec
    return failure.finding(title, message, path, steps=failure.inside, related=called, hint=hint)


def name_of(call: NodeCall, failure: Failure) -> str:
    """Return what people call a node: the number of a layer, or its name in the graph and what it calls."""
    node = call.node
    if "sequential" in node.path[1:4:2]:  # the model, or one of several
        return f"Layer {node.target.rpartition('.')[2]} (`{failure.components.key_at(node.path)}`)"
    return f"The node `{node.name}` (`{node.kind}:{node.target}`)"


def inner_lines(call: NodeCall) -> Iterator[str]:
    """Name the module within a block that it was, and what that was given, where this is not the block's own input."""
    if not call.inner or call.module is None:
        return
    words = repr(call.module)
    yield f"in its `{call.inner}`: {type(call.module).__name__ if chr(10) in words else words}"
    known = {id(value) for value in call.inputs.values()}
    for name, value in (call.given or {}).items():
        if id(value) not in known:
            yield f"whose `{name}`: {describe(value)}"


def report_whole_model(failure: Failure) -> Finding:
    """Report a model that could not be called: its inputs, and what there was for them."""
    message = [f"The model raised {failure.raised.summary}"]
    if called := find_model_call(failure.raised.steps):
        model, args, kwargs = called
        words = [*map(describe, args), *(f"{name}: {describe(value)}" for name, value in kwargs.items())]
        message += [f"its inputs: {', '.join(inputs_of(model))}", f"what it was given: {', '.join(words) or 'nothing'}"]
    by, hint = [("the inputs come from", ("io",))], "Let `io` give each of the model's inputs once, and nothing else."
    return failure.finding("model failed", message, ("model",), related=by, hint=hint)


def inputs_of(model: GeneratedModel) -> Iterator[str]:
    """Yield the inputs of a model in words, with the defaults of those that may be left out."""
    for name in model.inputs:
        yield f"{name} = {model.optional_inputs[name]!r}" if name in model.optional_inputs else name


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
