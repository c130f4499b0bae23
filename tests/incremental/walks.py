"""Take edits of a project one after the other, and hold what each costs against its row and against `doit why`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from trained import ask, inside
from warm import doit

from .steps import Step

LINE = re.compile(r"^\.  (\w+):a\n   (.*)$", re.MULTILINE)
VERDICT = re.compile(r"^  (\w+) +would run((?:\n {14}.*)+)", re.MULTILINE)
# What `doit why` says where reasons are too many, and besides reasons.
REST = re.compile(r"And \d+ more: ")
NOTES = ("No", "The run in", "Other versions")


def walk(project: Path, steps: list[Step]) -> None:
    """Take the steps one after the other; every step that is wrong is told at the end."""
    wrong = []
    environ: Mapping[str, str] = {}
    for step in steps:
        step.change(project)
        environ = step.environ or environ
        before = snapshot(project)
        foreseen = answer(project, environ)
        if snapshot(project) != before:
            wrong.append(f"{step.what}: `doit why` wrote something")
        trained = trainings(project)
        done = doit(project, "train", "EXP=a", **environ)
        executed = " ".join(re.findall(r"^\.  (\w+):a$", done.stdout, re.MULTILINE))
        foretold = " ".join(re.findall(r"^  (\w+) +would run$", foreseen, re.MULTILINE))
        counted = trainings(project) - trained
        if (done.returncode, executed, counted) != (0, step.stages, step.trainings):
            wrong.append(f"{step.what}: executed `{executed}`, trained {counted} times\n{done.stdout}{done.stderr}")
        lines, reasons = dict(LINE.findall(done.stdout)), reasons_told(foreseen)
        if lines != {stage: reasons.get(stage) for stage in lines}:
            wrong.append(f"{step.what}: `doit train` gave other reasons: {lines}\n{foreseen}")
        if foretold != executed:
            wrong.append(f"{step.what}: executed `{executed}`, foretold `{foretold}`\n{foreseen}")
    assert not wrong, "\n\n".join(wrong)


def answer(project: Path, environ: Mapping[str, str]) -> str:
    """Return what `doit why` answers, asked in this process, which has seen how things were before."""
    with pytest.MonkeyPatch.context() as here, inside(project):
        for name, value in environ.items():
            here.setenv(name, value)
        return ask("why", project, "a").report


def reasons_told(why: str) -> dict[str, str]:
    """Read from the answer of `doit why` what the line of each stage that would run has to say."""
    found = {}
    for stage, text in VERDICT.findall(why):
        first, *others = (line.strip() for line in text.strip().splitlines())
        more = sum(int(line.split()[1]) if REST.match(line) else not line.startswith(NOTES) for line in others)
        counted = f"{first.removesuffix('.')} (and {more} more reason{'' if more == 1 else 's'})."
        found[stage] = counted if more else first
    return found


def trainings(project: Path) -> int:
    log = project / "trainings.txt"
    return len(log.read_text().splitlines()) if log.exists() else 0


def snapshot(project: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time, what only remembers how files were read aside."""
    found = {}
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project).as_posix()
        if path.is_file() and not name.startswith(("build/.", "__pycache__")) and "__pycache__" not in name:
            found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found
