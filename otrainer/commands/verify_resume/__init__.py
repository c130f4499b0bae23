"""`doit verify-resume`: whether an experiment, stopped and continued, comes to the same bits as when it is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.commands.verify_resume.compare import Trace, compare, stops_of, summarize
from otrainer.diagnostics.serialize import from_plain
from otrainer.errors import ConfigError, Finding
from otrainer.stages.built import SOURCES, VALIDATED, needed
from otrainer.stages.fit.relocated import relocate
from otrainer.stages.outcome import Outcome
from otrainer.stages.resolve import resolved
from otrainer.storage.canonical_json import read_json, write_json

if TYPE_CHECKING:
    from otrainer.storage.experiments import Experiment

REFUSED, REFUSAL = 3, "refusal.json"
TAIL = 20


def verify_resume(experiment: Experiment, root: Path) -> Outcome:
    """Train a few steps straight, and the same with stops in between, and compare all bits after each step.

    Nothing of the experiment's own run is read or written. Raises ConfigError with the first fact that differs, or with
    what is wrong, at its place.
    """
    folder = Path(tempfile.mkdtemp(prefix=".verify-", dir=root / experiment.build))
    try:
        straight = train(experiment, root, folder / "straight", [""])
        stopped = train(experiment, root, folder / "stopped", stops_of(straight))
        compare(straight, stopped)
    except ConfigError as error:
        raise error.located(resolved(experiment, root).source_map) from error.__cause__
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    trainer = resolved(experiment, root).data["trainer"]
    return Outcome(report=summarize(experiment.name, straight, by_minutes=bool(trainer.get("val_every_n_minutes"))))


def train(experiment: Experiment, root: Path, folder: Path, stops: list[str]) -> Trace:
    """Train up to each of `stops`, each stretch in a process of its own, all below `folder`; return the steps."""
    (validated,) = needed(experiment, root, VALIDATED)
    plan = relocate(validated, folder)
    write_json(folder / "plan.json", plan, durable=False)
    write_json(folder / SOURCES, *needed(experiment, root, SOURCES), durable=False)
    for stop in stops:
        train_stretch(root, folder, stop)
    trace = folder / "trace.jsonl"  # there is none where the trainer has no steps that callbacks see
    return [json.loads(line) for line in trace.read_text().splitlines()] if trace.exists() else []


def train_stretch(root: Path, folder: Path, stop: str) -> None:
    """Train up to a step in a new process, from where `folder` is; raise ConfigError with what went wrong."""
    done = subprocess.run(  # noqa: S603 - this interpreter, with arguments of our own
        [sys.executable, "-m", "otrainer.commands.verify_resume.trace", str(folder), stop],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == REFUSED:
        raise ConfigError.of(from_plain(finding) for finding in read_json(folder / REFUSAL))
    if done.returncode:
        raise ConfigError.of([report_end(done.returncode, done.stderr)])


def report_end(status: int, stderr: str) -> Finding:
    """Return what is known of a training for the check that ended with no findings of its own."""
    message = f"Training for the check ended with exit status {status}."
    last = "\n".join(stderr.strip().splitlines()[-TAIL:])
    hint = "Train it by `doit train` first, which tells more of what goes wrong."
    return Finding(message, "check failed", details=f"{message}\n{last}", hint=hint)
