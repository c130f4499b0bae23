"""Which experiment `doit resume` means where none is named: the one whose run was interrupted last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.stages.built import record_path
from otrainer.storage.experiments import EXPERIMENTS, Experiment, listed_experiment
from otrainer.storage.project import display_path
from otrainer.storage.records import Record, env_reason
from otrainer.storage.runs.run_json import last_interrupted, read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from otrainer.config import ResolvedConfig


def interrupted_last(root: Path) -> Experiment | str:
    """Return the experiment whose run was interrupted last, or why there is none that could be resumed.

    Raises ConfigError where the experiment's run would lie in another folder now: that one would be resumed.
    """
    run_dir = last_interrupted(root / "runs")
    run = read_run(run_dir) if run_dir else None
    if run_dir is None or run is None:
        return "No run below `runs` was interrupted: there is nothing to resume."
    where = f"The run in `{display_path(run_dir, root)}` was interrupted last"
    if run["experiment"] is None:
        what = f"{where}, but no YAML file is known for it"
        return f"{what}: resume it from the program that started it, or name an experiment with EXP."
    found = listed_experiment(run["experiment"], root)
    if found is None:
        what = f"it names `{run['experiment']}`, which is no experiment below `{EXPERIMENTS.as_posix()}`"
        return f"{where}; {what}. If it is to be resumed, name it yourself: `doit resume EXP=...`."
    refuse_another(found, run_dir, run, root)
    return found


def refuse_another(experiment: Experiment, run_dir: Path, run: Mapping[str, Any], root: Path) -> None:
    """Raise ConfigError where an experiment's run lies elsewhere than in `run_dir` by its config as it is now."""
    from otrainer.config import resolve_config  # yaml comes with it
    from otrainer.config.limits import room_for_files

    try:
        config = resolve_config(root / experiment.file, root=root)
        out_dir = config.data["run"]["out_dir"]
        is_there = os.path.realpath(root / out_dir) == os.path.realpath(run_dir)
    except (ConfigError, KeyError, TypeError, ValueError):
        return  # the stages will say what is wrong
    if is_there:
        return
    with room_for_files():
        reasons = [each.removesuffix(".") for each in (*variables(experiment, root), *values(run_dir, run, config))]
    since = f", since {reasons[0][0].lower()}{reasons[0][1:]}" if reasons else ""
    raise ConfigError(
        f"`{display_path(run_dir, root)}` was interrupted last; its experiment `{experiment.name}` now resolves to "
        f"`{out_dir}`{since}.",
        title="nothing to resume",
        hint=f"Set what it was trained under again; or name the experiment, `doit resume EXP={experiment.name}`, to go "
        f"on with `{out_dir}`.",
    )


def variables(experiment: Experiment, root: Path) -> Iterator[str]:
    """Yield which variables are others than those by which the experiment was resolved last."""
    try:
        env = Record.read(record_path("resolve", experiment, root)).env
    except (OSError, ValueError):
        return
    for name, recorded in env.items():
        yield from env_reason(name, recorded, os.environ.get(name))


def values(run_dir: Path, run: Mapping[str, Any], config: ResolvedConfig) -> Iterator[str]:
    """Yield what differs in what a run and its folder are called."""
    from otrainer.stages.freshness.values import run_places, value_sentences

    sections = (run["config"].get("run") or {}, config.data["run"])
    old, new = ({"run": {name: each.get(name) for name in ("name", "out_dir")}} for each in sections)
    yield from value_sentences(old, new, config.source_map, run_places(run_dir))
