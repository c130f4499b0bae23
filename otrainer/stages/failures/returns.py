"""What the loop cannot use of what a component returned: it fails in otrainer's own lines, which say whose it was."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import TYPE_CHECKING

import otrainer.engine
from otrainer.stages.failures.values import described

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.errors import Finding
    from otrainer.stages.failures.failure import Failure
    from otrainer.stages.failures.parts import Part

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


def of_a_return(failure: Failure) -> Finding | None:
    """What comes of a returned value that does not fit; None where a component's own line raised."""
    steps = failure.raised.steps
    if failure.part is not None and failure.part.path[:1] != ("trainer",):
        return None
    for step in reversed(steps):
        if step.is_own:
            return None
        if Path(step.file).is_relative_to(ENGINE) and (found := giver(step, failure)):
            part, value = found
            message = [f"What `{part.key}` returned cannot be used: {failure.raised.said}", value]
            hint = WANTED.get(str(part.path[0]), "")
            return failure.finding(f"{part.path[0]} failed", message, part.path, steps=(), hint=hint)
    return None


def giver(step: Step, failure: Failure) -> tuple[Part, str] | None:
    """Whose value a line of the loop works with, and what it is."""
    local = step.frame.f_locals if step.frame else {}
    if part := failure.parts.of_object(local.get("metric")):
        return part, ""
    line = linecache.getline(step.file, step.line)
    for words, section, variable in GIVEN:
        if words in line:
            value = f"{variable}: {described(local[variable])}" if variable in local else ""
            return failure.parts.section(section), value
    return None
