"""A trained model, back from its run directory."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.config import Settings
from otrainer.engine.checkpoint import load_checkpoint, load_model_state, load_trained
from otrainer.engine.checkpoint.weights_alone import averages_alone
from otrainer.errors import ConfigError, nearest
from otrainer.fingerprint.locate import is_own
from otrainer.fingerprint.sources import rules
from otrainer.model import assemble, compile_model
from otrainer.registry import build_registry, load_plugins
from otrainer.registry.build.secrets import conceal_secrets
from otrainer.registry.usage import keys_in
from otrainer.stages.definition import fingerprints, outdated
from otrainer.storage.canonical_json import read_json
from otrainer.storage.project import project, project_root
from otrainer.storage.runs.files import CODE, FINGERPRINTS
from otrainer.storage.runs.run_json import LAST, read_run

if TYPE_CHECKING:
    import torch

log = logging.getLogger("otrainer")


def load_model(
    run_dir: str | os.PathLike[str], *, checkpoint: str | None = None, averaged: bool = True
) -> torch.nn.Module:
    """Return the model of a run with its trained weights, on the CPU, in eval mode.

    `checkpoint` picks one of the run's by name (`best`, `step_100`; default: `last`, else the newest). Where the run
    averages its weights, these are the averages, or without `averaged` what it trains. A warning names the parts of
    the model whose code is no longer that of the run.
    Raises ConfigError where `run_dir` is no run, has no such checkpoint, or one of averages alone where what is trained
    is asked for.
    """
    folder = Path(run_dir).absolute()
    run = read_run(folder)
    if run is None:
        raise ConfigError(f"`{run_dir}` is not a run: it has no run.json.", title="not a run", hint=other_runs(folder))
    path = folder / find_checkpoint(list(run["outputs"]), checkpoint, str(run_dir))
    parts = load_checkpoint(path, whole=False)
    if not averaged and parts["meta"].get("averaged"):
        raise averages_alone(path)
    config, registry, settings = run["config"], build_registry(), Settings.of(run["config"].get("settings"))
    with project(project_root(folder)):
        conceal_secrets(config)
        load_plugins(config.get("imports"), registry=registry, settings=settings)
        model = assemble(compile_model(config["model"], registry=registry, settings=settings), registry, settings)
        if changed := changed_since(folder, run):
            log.warning(
                "`%s`: since it was trained, the code of %s changed: the model is built of what the files say now. "
                "The run's own sources are in `%s`.",
                *(run_dir, ", ".join(f"`{key}`" for key in changed), folder / CODE),
            )
    load_model_state(model, parts)
    if not averaged:
        load_trained(model, parts)
    return model.eval()


def changed_since(folder: Path, run: dict[str, Any]) -> list[str]:
    """Return the keys in a run's model whose code is another one now, as far as fingerprints are made as they were."""
    try:
        if read_json(folder / FINGERPRINTS)["rules"] != rules():
            return []
    except (OSError, ValueError, TypeError, KeyError):
        return []
    used = {name for path, _, name in keys_in(run["config"]) if path[:1] == ("model",)}
    rows = [row for row in run["code"] if row["key"] in used and not is_own(row["target"].partition(":")[0])]
    return outdated(rows, fingerprints(project_root(folder)))


def find_checkpoint(outputs: list[str], name: str | None, run_dir: str) -> str:
    """Return the path of a checkpoint within its run directory."""
    by_name = {Path(output).name: output for output in outputs}
    wanted = f"{name.removesuffix('.pt')}.pt" if name else LAST
    if wanted in by_name:
        return by_name[wanted]
    if name is None and outputs:
        return outputs[-1]
    there = f"It has {', '.join(by_name)}." if by_name else "It has saved none."
    message, near = f"`{run_dir}` has no checkpoint `{wanted}`. {there}", nearest(wanted, by_name)
    hint = "Name one that it has by `checkpoint=...`." if by_name else "Train the run until its first checkpoint."
    raise ConfigError(message, title="checkpoint not found", suggestions=near, hint=hint)


def other_runs(folder: Path) -> str:
    runs = sorted(path.parent.name for path in folder.parent.glob("*/run.json"))
    return f"Runs in `{folder.parent.name}` are {', '.join(runs)}." if runs else "`doit runs` lists the runs there are."
