"""What the frames of a traceback still hold: variables, and with them the run's context and the batch at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.engine.state import RunContext
from otrainer.engine.tree import leaves

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step

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
