"""Report a component that failed: its key and place in the config, and the user's own lines.

What it returned and the loop cannot use fails in otrainer's own lines, which tell whose it is.
"""

from __future__ import annotations

import errno
import linecache
from collections.abc import Iterator
from dataclasses import replace
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

import otrainer.engine
from otrainer.diagnostics.exceptions import MEND, WHOLE, cannot_write
from otrainer.engine.numerics import not_deterministic
from otrainer.stages.failures.advice import advise_on_message, find_several, find_sides, judge_sides
from otrainer.stages.failures.describe import describe
from otrainer.stages.failures.frames import arguments, find_context, variables

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Related, Step
    from otrainer.errors import Finding
    from otrainer.stages.failures.attribution import Component
    from otrainer.stages.failures.failure import Failure

ENGINE = Path(otrainer.engine.__file__).parent
# Words of a line in the loop, the section whose component gave what it works with, and the variable that holds that.
GIVEN = (
    ("io.split(", "io", ""),
    ("inputs.args", "io", "inputs"),
    ("getattr(result,", "loss", "result"),
    ("last_train_logs", "loss", ""),
    ("mean_of(", "loss", ""),
)
WANTED = {
    "io": "`split` returns `(ArgsKwargs(args, kwargs), targets, meta)`.",
    "loss": "It returns `LossOutput(loss, logs)`, with numbers or tensors of one number for logs.",
    "metrics": "`compute` returns a number, or a mapping of names to numbers.",
}
READERS = ("data", "io", "model", "loss", "metrics")  # of files, if of any
DIFFERENTIATING = (("model",), ("loss",), ("metrics",), ("io",))  # if anything in them does, it is by themselves
BACKWARD = "_engine_run_backward"  # in torch, around all that backward runs
SINGULAR = {"callbacks": "callback", "loggers": "logger", "metrics": "metric"}
ANOMALY = "In a plugin, `torch.autograd.set_detect_anomaly(True)` lets torch show the line of the forward pass."


def report_component(failure: Failure) -> Finding:
    """Report what a component raised, or what came from nowhere that is known."""
    message, library = [headline(failure)], innermost_line(failure)
    hint = advise_on_message(failure.error, failure.raised)
    if sides := find_sides(failure.raised.steps):
        fn, prediction, target = sides
        message += [f"prediction: {describe(prediction)}", f"target: {describe(target)}"]
        if misfit := find_several(prediction, target) or judge_sides(fn, prediction, target):
            why, hint = misfit
            message, library = [*message, why], []
    elif failure.method is not None:
        message += inputs_of(failure.method)
    path = failure.path
    title = f"{SINGULAR.get(str(path[0]), path[0])} failed" if path else "failed"
    hint = hint or (WHOLE if library else MEND)
    return failure.finding(title, message, path, steps=failure.inside, at=library, hint=hint)


def headline(failure: Failure) -> str:
    """Say which component raised what, in which of its methods, and where that ran."""
    raised = failure.raised
    method = [f"in `{failure.method.function}`"] if failure.method else []
    where = ", ".join([*method, *filter(None, [raised.where])])
    if failure.component is None:
        return f"{raised.summary} ({where})" if where else raised.summary
    return f"{where[:1].upper()}{where[1:]}{', ' if where else ''}`{failure.component.key}` raised {raised.summary}"


def innermost_line(failure: Failure) -> list[Related]:
    """Return the innermost line, where none is the user's own."""
    if any(step.is_own for step in failure.inside) or not failure.inside:
        return []
    step = failure.inside[-1]
    return [(f"raised in `{step.function}`", step.place)]


def inputs_of(step: Step) -> Iterator[str]:
    """Describe what a component was called with, of what all of its kind are."""
    found = arguments(step)
    for name in ("outputs", "targets") if "outputs" in found else ("batch", "index"):
        if name in found:
            yield f"{name}: {describe(found[name])}"


def report_disk(failure: Failure) -> Finding | None:
    """Report a disk that takes nothing more, at the component that wrote; None for one that reads."""
    found = cannot_write(failure.error)
    if found is None or failure.component is None:
        return found
    if failure.path[0] in READERS and getattr(failure.error, "errno", None) == errno.EIO:
        return None
    return replace(found, config_path=failure.path, location=failure.place(failure.path))


def report_nondeterministic(failure: Failure) -> Finding | None:
    """Report an operation that has no deterministic form, where the run asks for nothing else."""
    error = failure.error
    asked = (failure.components.config.get("run") or {}).get("deterministic")
    if not asked or not isinstance(error, RuntimeError) or "deterministic" not in str(error):
        return None
    (found,) = not_deterministic(error).findings
    where = failure.in_component
    return failure.finding(found.title, [found.message], found.config_path, related=where, hint=found.hint)


def report_backward(failure: Failure) -> Finding | None:
    """Report what backward raised, where no forward names the node; None for what comes from elsewhere."""
    after = failure.raised.steps[failure.passage.last + 1 if failure.passage else 0 :]
    inside = list(dropwhile(lambda step: step.function != BACKWARD, after))
    if not inside or failure.path[:1] in DIFFERENTIATING:
        return None
    message = [f"Backward raised {failure.raised.summary}", "The forward pass and the loss went through before it."]
    if "modified by an inplace operation" in str(failure.error):
        message += modules_in_place(failure)
    hint = MEND if any(step.is_own for step in inside) else ANOMALY
    return failure.finding("backward failed", message, ("model",), steps=inside, hint=hint)


def modules_in_place(failure: Failure) -> Iterator[str]:
    """Name the modules that change their input, of which one may have been it."""
    context = find_context(failure.raised.steps)
    modules = context.model.named_modules() if context else ()
    if names := [name for name, module in modules if getattr(module, "inplace", False)]:
        yield f"Modules that change their input in place: {', '.join(f'`{name}`' for name in names)}."


def report_returned_value(failure: Failure) -> Finding | None:
    """Report a returned value that does not fit; None where a component's own line raised."""
    if failure.path[:1] not in ((), ("trainer",)):
        return None
    for step in reversed(failure.raised.steps):
        if step.is_own:
            return None
        if Path(step.file).is_relative_to(ENGINE) and (found := find_giver(step, failure)):
            component, value = found
            section = str(component.path[0])
            message = [f"What `{component.key}` returned cannot be used: {failure.raised.summary}", value]
            return failure.finding(f"{section} failed", message, component.path, hint=WANTED.get(section, ""))
    return None


def find_giver(step: Step, failure: Failure) -> tuple[Component, str] | None:
    """Return whose value a line of the loop works with, and what it is."""
    local = variables(step)
    if component := failure.components.of_object(local.get("metric")):
        return component, ""
    line = linecache.getline(step.file, step.line)
    for words, section, variable in GIVEN:
        if words in line:
            value = f"{variable}: {describe(local[variable])}" if variable in local else ""
            return failure.components.section(section), value
    return None
