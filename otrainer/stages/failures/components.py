"""The report of a component that failed: its key and place in the config, and the user's own lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from otrainer.diagnostics.exceptions import MEND, WHOLE, cannot_write
from otrainer.engine.accelerator import not_deterministic
from otrainer.stages.failures import memory
from otrainer.stages.failures.advice import next_step
from otrainer.stages.failures.failure import Failure, arguments
from otrainer.stages.failures.losses import misfit, sides
from otrainer.stages.failures.values import described

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Related, Step
    from otrainer.errors import ConfigPath, Finding

BACKWARD = "_engine_run_backward"  # in torch, around all that backward runs
SHOWN = ("outputs", "targets")
SINGULAR = {"callbacks": "callback", "loggers": "logger", "metrics": "metric"}
ANOMALY = "In a plugin, `torch.autograd.set_detect_anomaly(True)` lets torch show the line of the forward pass."


def in_component(failure: Failure) -> Finding:
    """What a component raised, or what came from nowhere that is known."""
    message, hint, library = [said_by(failure)], next_step(failure.error), in_library(failure)
    pair = sides(failure.raised.steps)
    if pair is not None:
        fn, prediction, target = pair
        why, advice = misfit(fn, prediction, target)
        message += [f"prediction: {described(prediction)}", f"target: {described(target)}", why]
        hint, library = advice or hint, [] if why else library
    elif failure.method is not None:
        message += given(failure.method)
    path: ConfigPath = failure.part.path if failure.part else ()
    title = f"{SINGULAR.get(str(path[0]), path[0])} failed" if path else "failed"
    hint = hint or (WHOLE if library else MEND)
    return failure.finding(title, message, path, steps=failure.inside, at=library, hint=hint)


def said_by(failure: Failure) -> str:
    """Which component raised what, in which of its methods, and where that ran."""
    raised = failure.raised
    method = [f"in `{failure.method.function}`"] if failure.method else []
    where = ", ".join([*method, *filter(None, [raised.where])])
    if failure.part is None:
        return f"{raised.said} ({where})" if where else raised.said
    return f"{where[:1].upper()}{where[1:]}{', ' if where else ''}`{failure.part.key}` raised {raised.said}"


def in_library(failure: Failure) -> list[Related]:
    """The innermost line, where none is the user's own."""
    if any(step.is_own for step in failure.inside) or not failure.inside:
        return []
    step = failure.inside[-1]
    return [(f"raised in `{step.function}`", step.place)]


def given(step: Step) -> Iterator[str]:
    """What a component was called with, of what all of its kind are."""
    found = arguments(step)
    for name in SHOWN if "outputs" in found else ("batch", "index"):
        if name in found:
            yield f"{name}: {described(found[name])}"


def disk_trouble(failure: Failure) -> Finding | None:
    """A disk that takes nothing more, at the component that wrote."""
    found = cannot_write(failure.error)
    if found is None or failure.part is None:
        return found
    path = failure.part.path
    return replace(found, config_path=path, location=failure.place(path))


def nothing_deterministic(failure: Failure) -> Finding | None:
    """An operation that has no deterministic form, where the run asks for nothing else."""
    error = failure.error
    asked = (failure.parts.config.get("run") or {}).get("deterministic")
    if not asked or not isinstance(error, RuntimeError) or "deterministic" not in str(error):
        return None
    (found,) = not_deterministic(error).findings
    related = [(f"in `{failure.part.key}`", failure.part.path)] if failure.part else []
    return failure.finding(found.title, [found.message], found.config_path, steps=(), related=related, hint=found.hint)


def in_backward(failure: Failure) -> Finding | None:
    """What backward raised, where no forward tells the node; None for what comes from elsewhere."""
    number = failure.found.last if failure.found else -1
    after = failure.raised.steps[number + 1 :]
    if not any(step.function == BACKWARD for step in after):
        return None
    message = [f"Backward raised {failure.raised.said}", "The forward pass and the loss went through before it."]
    inside = after[next(at for at, step in enumerate(after) if step.function == BACKWARD) :]
    hint = MEND if any(step.is_own for step in inside) else ANOMALY
    if "modified by an inplace operation" in str(failure.error):
        return failure.finding("backward failed", [*message, *in_place(failure)], ("model",), steps=inside, hint=hint)
    return failure.finding("backward failed", message, ("model",), steps=inside, hint=hint)


def in_place(failure: Failure) -> Iterator[str]:
    """The modules that change their input, of which one may have been it."""
    context = memory.context_of(failure.raised.steps)
    if context is None:
        return
    names = [name for name, module in context.model.named_modules() if getattr(module, "inplace", False)]
    if names:
        yield f"Modules that change their input in place: {', '.join(f'`{name}`' for name in names)}."
