"""Why a stage is about to run, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.records import why_stale
from otrainer.runs import read_run, why_unfinished
from otrainer.stages import VERSIONS
from otrainer.tasks.freshness import artifact

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.tasks.experiments import Experiment


def reason(stage: str, experiment: Experiment, root: Path) -> str:
    """The main reason in one sentence, with how many more there are; empty where there is none to tell."""
    try:
        found = list(reasons_of(stage, experiment, root))
    except (ConfigError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""  # something is damaged: the stage itself will say so
    if not found:
        return ""
    return found[0] if len(found) == 1 else f"{found[0]} ({len(found) - 1} more: `doit why EXP={experiment.name}`)"


def reasons_of(stage: str, experiment: Experiment, root: Path) -> Iterator[str]:
    if stage in ("fit", "resume"):
        yield from training_reasons(experiment, root)
        return
    stale = why_stale(root / experiment.built(f"{stage}.record.json"), root=root, version=VERSIONS[stage])
    if stale:
        yield stale
    elif stage == "validate":
        yield from validation_reasons(experiment, root)


def validation_reasons(experiment: Experiment, root: Path) -> Iterator[str]:
    """What differs between the config and manifest as they are now and those that were validated."""
    from otrainer.queries.differences import value_sentences

    old, new = artifact(experiment, "validated.json", root), artifact(experiment, "resolved.json", root)
    manifest = artifact(experiment, "manifest.json", root)
    yield from value_sentences(old["config"], new["config"], places(experiment, root))
    for row in old["code"]:
        known = manifest["modules"].get(row["key"]) or manifest["ops"].get(row["key"].removeprefix("op:"))
        if known is not None and known["fingerprint"] != row["fingerprint"]:
            yield f"The code of `{row['key']}` changed."


def training_reasons(experiment: Experiment, root: Path) -> Iterator[str]:
    """What tells the run that is there from the validated one, or what keeps it from being finished."""
    plan = artifact(experiment, "validated.json", root)
    run_dir = root / plan["run_dir"]
    run = read_run(run_dir)
    if run is None or run["definition"] == plan["definition"]:
        left = why_unfinished(run_dir, plan["definition"])
        if left:
            yield left
        return
    found = list(differences(plan, run, run_dir, experiment, root))
    yield from found or ["Its definition changed."]


def differences(
    plan: dict[str, Any], run: dict[str, Any], run_dir: Path, experiment: Experiment, root: Path
) -> Iterator[str]:
    from otrainer.definition import fingerprints
    from otrainer.queries.codes import code_sentences
    from otrainer.queries.differences import data_sentences, run_detail, run_places, value_sentences

    yield from value_sentences(run["config"], plan["config"], places(experiment, root), run_places(run_dir))
    yield from code_sentences(run["code"], plan["code"], run_detail(run_dir), fingerprints(root))
    yield from data_sentences(run["data"], plan["data_files"])


def places(experiment: Experiment, root: Path) -> Any:
    from otrainer.config.source_map import SourceMap

    return SourceMap.from_json(artifact(experiment, "sources.json", root)["places"])
