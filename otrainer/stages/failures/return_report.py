"""Report what a component returned and the loop cannot use: it fails in otrainer's own lines, which tell whose."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import TYPE_CHECKING

import otrainer.engine
from otrainer.stages.failures.describe import describe
from otrainer.stages.failures.frames import variables

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
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
    ("mean_of(rows", "loss", ""),
)
WANTED = {
    "io": "`split` returns `(ArgsKwargs(args, kwargs), targets, meta)`.",
    "loss": "It returns `LossOutput(loss, logs)`, with numbers or tensors of one number for logs.",
    "metrics": "`compute` returns a number, or a mapping of names to numbers.",
}


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
