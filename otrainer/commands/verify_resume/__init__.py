"""`doit verify-resume`: whether an experiment, stopped and continued, comes to the same bits as when it is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.serialize import from_plain
from otrainer.errors import Finding
from otrainer.stages.outcome import Outcome
from otrainer.stages.resolve import resolved
from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.inside_project import written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otrainer.storage.experiments import Experiment

STEPS = 8
STOPS = (3, 5)  # the second most often in the same epoch as the first
REFUSED, REFUSAL = 3, "refusal.json"
TAIL = 20
Trace = list[dict[str, Any]]


def verify_resume(experiment: Experiment, root: Path) -> Outcome:
    """Whether the experiment, stopped and continued, trains to the same bits; what is wrong is told at its place."""
    outcome, places = compared(experiment, root), resolved(experiment, root).source_map
    return outcome._replace(findings=tuple(finding.located(places) for finding in outcome.findings))


def compared(experiment: Experiment, root: Path) -> Outcome:
    """Train a few steps straight, and the same with stops in between, each stretch in a process of its own.

    Nothing of the experiment's own run is read or written. The outcome names the first fact that differs.
    """
    validated = read_json(root / experiment.built("validated.json"))
    folder = Path(tempfile.mkdtemp(prefix=".verify-", dir=root / experiment.build))
    try:
        straight, stopped = folder / "straight", folder / "stopped"
        for place, stops in ((straight, (STEPS,)), (stopped, (*STOPS, STEPS))):
            write_json(place / "plan.json", relocated(validated, place), durable=False)
            shutil.copy(root / experiment.built("sources.json"), place)
            for number, stop in enumerate(stops):
                if failure := stretch(root, place, stop, goes_on=number > 0):
                    return Outcome.failed(failure)
        return judged(experiment, read_trace(straight), read_trace(stopped))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def relocated(plan: dict[str, Any], place: Path) -> dict[str, Any]:
    """A plan that writes below `place` alone, what goes to other folders than the run's included."""
    whole: dict[str, Any] = moved(plan, plan["run_dir"], str(place / "run"))
    for number, (path, at) in enumerate(written(whole["config"])):
        if not Path(path).is_relative_to(place):
            *above, last = ("config", *at)
            holder: Any = reduce(getitem, above, whole)
            holder[last] = str(place / f"elsewhere-{number}")
    return whole


def moved(value: Any, old: str, new: str) -> Any:
    """A plan whose paths below the run directory lead below another folder."""
    if isinstance(value, dict):
        return {key: moved(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, old, new) for item in value]
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


def stretch(root: Path, place: Path, stop: int, *, goes_on: bool) -> list[Finding]:
    """Train up to a step in a new process; what went wrong, if anything did."""
    last = [str(place / "last.pt")] if goes_on else []
    words = [str(place / "plan.json"), str(place / "trace.jsonl"), str(place), str(stop), *last]
    done = subprocess.run(  # noqa: S603 - this interpreter, with arguments of our own
        [sys.executable, "-m", "otrainer.commands.verify_resume.trace", *words],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return []
    if done.returncode == REFUSED:
        return [from_plain(finding) for finding in read_json(place / REFUSAL)]
    return [ended(done.returncode, done.stderr)]


def ended(status: int, said: str) -> Finding:
    """What is known of a training for the check that ended with no findings of its own."""
    message = f"Training for the check ended with exit status {status}."
    last = "\n".join(said.strip().splitlines()[-TAIL:])
    hint = "Train it by `doit train` first, which tells more of what goes wrong."
    return Finding(message, "check failed", details=f"{message}\n{last}", hint=hint)


def read_trace(place: Path) -> Trace:
    """The steps of all stretches in their order; none where the trainer has no steps that callbacks see."""
    path = place / "trace.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def judged(experiment: Experiment, straight: Trace, stopped: Trace) -> Outcome:
    """What comparing the two trainings comes to."""
    if not straight:
        message = "No step was seen: the trainer calls no `on_train_step_end`."
        hint = "Let the trainer call that hook of every callback after each step."
        return Outcome.failed([Finding(message, "nothing to compare", ("trainer",), hint=hint)])
    steps, others = [row["step"] for row in straight], [row["step"] for row in stopped]
    if steps != others:
        message = f"Straight it took the steps {steps}, with stops {others}."
        return Outcome.failed([Finding(message, "not exact", hint="Some component counts steps, and keeps no state.")])
    for one, other in zip(straight, stopped, strict=True):
        names = [
            name for name in {**one["facts"], **other["facts"]} if one["facts"].get(name) != other["facts"].get(name)
        ]
        if names:
            return Outcome.failed([difference(one["step"], names)])
    tensors = sum(name.startswith("model.") for name in straight[-1]["facts"])
    stops = " and ".join(map(str, (stop for stop in STOPS if stop < steps[-1])))
    return Outcome(
        report=f"{experiment.name}: exact to the bit over {len(steps)} steps, straight and stopped after {stops}: "
        f"{tensors} tensors of the model, {len(straight[-1]['facts'])} facts in all"
    )


def difference(step: int, names: list[str]) -> Finding:
    """The first fact that differs, and where its kind comes from."""
    first = names[0]
    more = f" ({len(names) - 1} more)" if len(names) > 1 else ""
    hint = HINTS.get(first.partition(".")[0].partition("[")[0], "")
    if step <= STOPS[0]:
        message = f"Two trainings from the beginning already differ after step {step}: `{first}`{more} is another."
        return Finding(message, title="not deterministic", hint=hint)
    message = (
        f"After step {step}, continued, `{first}` is another than without a stop{more}. What comes before is equal."
    )
    return Finding(message, title="not exact", hint=hint)


HINTS: Mapping[str, str] = {
    "batch": "The data does not come back as it was: let its order and randomness depend on the generators of torch, "
    "numpy or Python alone, or give it `state_dict()` and `load_state_dict(state)`.",
    "rng": "Something draws random numbers in one case and not in the other.",
    "loss": "The loss or the model keeps something beside its `state_dict()`, or computes in another order: "
    "`run.deterministic: true` names operations that do.",
    "model": "The step computes in another order, or a hook changes weights: `run.deterministic: true` names such "
    "operations.",
    "callbacks": "This callback's `state_dict()` does not hold all that it goes by.",
    "metrics": "This metric's `state_dict()` does not hold all that it counts.",
}
