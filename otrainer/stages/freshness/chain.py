"""Experiments that begin from the run of another one: which one that is, and whether that run is itself up to date."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.stages.built import RESOLVED, artifact
from otrainer.stages.freshness.decide import FAILS, MANIFEST, RESUME, RUNS, STILL_COMPLETE, UNTOLD, decide
from otrainer.stages.freshness.reason import counted
from otrainer.storage.experiments import listed_experiment
from otrainer.storage.runs.run_json import RUN_FILE, UNFINISHED, read_run_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otrainer.stages.freshness.decide import Verdict
    from otrainer.storage.experiments import Experiment

STATE = {RUNS: "is out of date", FAILS: "could not be trained now", UNTOLD: "may be out of date"}


def chains(experiments: Sequence[Experiment], root: Path) -> dict[Experiment, Experiment]:
    """Return the experiments that begin from a run of another one of these, each with that one.

    Where several begin from one another in a circle, none of them comes first.
    """
    sections = {each: section for each in experiments if (section := run_section(each, root)) is not None}
    folders = {in_root(section["out_dir"], root): each for each, section in sections.items()}
    found: dict[Experiment, Experiment] = {}
    for each, section in sections.items():
        if section.get("resume_from") is not None:
            above = in_root(section["resume_from"], root).parents
            if (first := next((folders[folder] for folder in above if folder in folders), each)) != each:
                found[each] = first
    return {each: first for each, first in found.items() if each not in line_of(first, found)}


def line_of(experiment: Experiment, found: Mapping[Experiment, Experiment]) -> list[Experiment]:
    """Return an experiment and those before it, as far as none comes twice."""
    line = [experiment]
    while (first := found.get(line[-1])) is not None and first not in line:
        line.append(first)
    return line


def chain_note(experiment: Experiment, root: Path) -> str | None:
    """Say that a run begins from one which would be trained anew, or on, before it; None where it does not.

    A kept run, or one of an earlier config, stays as it is.
    """
    section = run_section(experiment, root)
    line, stale = [experiment], None
    for each in before(section, root):
        if each in line:
            break
        line.append(each)
        verdict = training_of(each, root)
        if verdict is not None:
            stale = (len(line), verdict)
    if stale is None:
        return None
    line, verdict = line[: stale[0]], stale[1]
    way = ", and that from the run of ".join(f"`{each.name}`" for each in line[1:])
    reason = counted(verdict.reasons) if verdict.reasons else ""
    is_unfinished = verdict.word == RUNS and reason.startswith(tuple(UNFINISHED.values()))
    state = "is not finished" if is_unfinished else STATE[verdict.word]
    if verdict.word != RUNS:
        return f"It begins from the run of {way}, which {state}: {reason} `doit why EXP={line[-1].name}` says more."
    names = ",".join(each.name for each in reversed(line))
    return f"It begins from the run of {way}, which {state}: {reason} `doit train EXP={names}` trains that first."


def before(section: Mapping[str, Any] | None, root: Path) -> Iterator[Experiment]:
    """Yield the experiments from whose runs one begins, the nearest first, by the configs that these runs had."""
    while section is not None and isinstance(section.get("resume_from"), str):
        above = in_root(section["resume_from"], root).parents
        folder = next((each for each in above if os.path.isfile(each / RUN_FILE)), None)  # noqa: PTH113 - a Path raises
        run = None if folder is None or folder == in_root(section["out_dir"], root) else read_run_or_none(folder)
        first = None if run is None else listed_experiment(run["experiment"], root)
        if folder is None or run is None or first is None or trains_elsewhere(first, folder, root):
            return
        yield first
        section = section_in(run)


def trains_elsewhere(experiment: Experiment, folder: Path, root: Path) -> bool:
    section = run_section(experiment, root)
    return section is not None and in_root(section["out_dir"], root) != folder


def training_of(experiment: Experiment, root: Path) -> Verdict | None:
    """Return the verdict on the training of an experiment whose run is not as it would be trained now."""
    stages = ("resolve", MANIFEST, "validate", RESUME)
    if all(decide(stage, experiment, root, every=True).is_up_to_date for stage in stages):  # `every` leaves no trace
        return None
    from otrainer.stages.freshness.explain import explain  # yaml comes with it

    verdict = explain(experiment, root)[0]["fit"]
    return None if verdict.is_up_to_date or STILL_COMPLETE in verdict.notes else verdict


def run_section(experiment: Experiment, root: Path) -> Mapping[str, Any] | None:
    """Return the section `run` of a config as it is now; None where it does not resolve."""
    if decide("resolve", experiment, root, every=True).is_up_to_date:
        return section_in(artifact(experiment, RESOLVED, root))
    from otrainer.config import resolve_config

    try:
        return section_in({"config": resolve_config(root / experiment.file, root=root).data})
    except (ConfigError, OSError, ValueError):
        return None


def section_in(holder: Any) -> Mapping[str, Any] | None:
    """Return the section `run` of the config in an artifact or a run.json; None where it has none that says where."""
    try:
        section: Mapping[str, Any] = holder["config"]["run"]
        return section if isinstance(section["out_dir"], str) else None
    except (TypeError, KeyError):
        return None


def in_root(path: str, root: Path) -> Path:
    try:
        return Path(os.path.realpath(root / path))
    except ValueError:  # no file has such a name
        return root / path
