"""The report of a model that failed: its node with the inputs' shapes, and its place in the config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from otrainer.diagnostics.exceptions import MEND
from otrainer.stages.failures.advice import expectation, next_step
from otrainer.stages.failures.calls import Call, find_call, model_call
from otrainer.stages.failures.values import described

if TYPE_CHECKING:
    from otrainer.errors import Finding
    from otrainer.model.ir import ModelIR
    from otrainer.stages.failures.failure import Failure


def in_model(failure: Failure, ir: ModelIR) -> Finding | None:
    """What a model's forward raised; None for what comes from elsewhere."""
    if failure.part is None or failure.part.path[:1] != ("model",):
        return None
    call = find_call(failure.raised.steps, ir)
    return in_whole(failure) if call is None else in_call(failure, call, ir)


def in_call(failure: Failure, call: Call, ir: ModelIR) -> Finding:
    spec, path = ir.spec_path(call.node), failure.part.path if failure.part else ()
    called = [] if call.node.path == spec else [("called here", call.node.path)]
    inputs = [f"input `{name}`: {described(value)}" for name, value in call.inputs.items()]
    message = [f"{name_of(call, failure)} raised {failure.raised.said}", *inputs, *inner_lines(call)]
    own = any(step.is_own for step in failure.inside)
    otherwise = MEND if own else "`doit show EXP=NAME MODEL=1` shows the shapes at every node."
    title = "layer failed" if call.node.kind == "module" else "op failed"
    hint = (
        expectation(call, written=failure.parts.of_object(call.module) is not None)
        or next_step(failure.error)
        or otherwise
    )
    # A module may be built of others that the config writes within it: the innermost of them is the one.
    path = path if path[: len(spec)] == spec else spec
    return failure.finding(title, message, path, steps=failure.inside, related=called, hint=hint)


def name_of(call: Call, failure: Failure) -> str:
    """What people call a node: the number of a layer, or its name in the graph and what it calls."""
    node = call.node
    if node.path[1:2] == ("sequential",):
        return f"Layer {node.path[-1]} (`{failure.parts.key_at(node.path)}`)"
    return f"The node `{node.name}` (`{node.kind}:{node.target}`)"


def inner_lines(call: Call) -> Iterator[str]:
    """The module within a block that it was, and what that was given, where this is not the block's own input."""
    if not call.inner or call.module is None:
        return
    words = repr(call.module)
    yield f"in its `{call.inner}`: {type(call.module).__name__ if chr(10) in words else words}"
    known = {id(value) for value in call.inputs.values()}
    for name, value in (call.given or {}).items():
        if id(value) not in known:
            yield f"whose `{name}`: {described(value)}"


def in_whole(failure: Failure) -> Finding:
    """A model that could not be called: its inputs, and what there was for them."""
    message = [f"The model raised {failure.raised.said}"]
    called = model_call(failure.raised.steps)
    if called is not None:
        model, args, kwargs = called
        words = [*map(described, args), *(f"{name}: {described(value)}" for name, value in kwargs.items())]
        message += [f"its inputs: {', '.join(model.inputs)}", f"what it was given: {', '.join(words) or 'nothing'}"]
    by, hint = [("the inputs come from", ("io",))], "Let `io` give each of the model's inputs once, and nothing else."
    return failure.finding("model failed", message, ("model",), steps=(), related=by, hint=hint)
