"""What stages left in the build folder of an experiment, read back where it is there and whole."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.experiments import BUILD
from otrainer.storage.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otrainer.config import SourceMap
    from otrainer.storage.experiments import Experiment

RECEIPT, TOLD = "fit.json", "told"
MANIFEST = "manifest.json"
MANIFESTS = BUILD / ".manifests"


def record_path(stage: str, experiment: Experiment, root: Path) -> Path:
    """Return where the record of a stage lies."""
    return root / experiment.built(f"{stage}.record.json")


def shared_manifest(experiment: Experiment, root: Path) -> Experiment:
    """Return what stands for all experiments with the plugins and settings of this one: its `build` has the manifest.

    Raises OSError where `resolve` has not left those.
    """
    plugins = (root / experiment.built("plugins.json")).read_bytes()
    return experiment._replace(build=MANIFESTS / hashlib.sha256(plugins).hexdigest()[:16])


def why_not_shared(experiment: Experiment, root: Path) -> str | None:
    """Return why manifest.json is not the one of which its record speaks; None if it is."""
    path, record = root / experiment.built(MANIFEST), record_path("manifest", experiment, root)
    try:
        if record.is_symlink() and path.readlink().parent == record.readlink().parent:
            return None
        left = {stamp.sha256 for stamp in Record.read(record).outputs.values()}  # a copy, as `cp -L` makes them
        is_it = hashlib.sha256(path.read_bytes()).hexdigest() in left
    except (OSError, ValueError):
        is_it = False
    happened = "altered" if path.exists() else "deleted"
    return None if is_it else f"`{experiment.built(MANIFEST).as_posix()}` was {happened}."


def artifact(experiment: Experiment, name: str, root: Path) -> Any:
    """Return an artifact as it is; None where it is not there, or cannot be read."""
    try:
        return read_json(root / experiment.built(name))
    except (OSError, ValueError, RecursionError):
        return None


def validated_run(experiment: Experiment, root: Path) -> dict[str, str] | None:
    """Return `run_dir` and `definition` as `validate` left them; None where it left nothing that can be read."""
    return run_in(artifact(experiment, "validated.json", root))


def run_in(validated: Any) -> dict[str, str] | None:
    """Return `run_dir` and `definition` as validated.json has them; None where it has none."""
    try:
        return {name: str(validated[name]) for name in ("run_dir", "definition")}
    except (TypeError, KeyError):
        return None


def named_in(validated: Any) -> str | None:
    """Return the checkpoint that `run.resume_from` names in validated.json, if any."""
    try:
        named = validated["config"]["run"].get("resume_from")
    except (TypeError, KeyError, AttributeError):
        return None
    return named if isinstance(named, str) else None


def configured_run_dir(experiment: Experiment, root: Path) -> Path | None:
    """Return where the resolved config wants the run, before anybody validated it; None where none may be."""
    from otrainer.storage.inside_project import way_out  # not imported to find that nothing has to be done

    resolved = artifact(experiment, "resolved.json", root)
    try:
        run_dir = Path(resolved["config"]["run"]["out_dir"])
    except (TypeError, KeyError):
        return None
    return None if way_out(run_dir, root) else root / run_dir


def written_places(experiment: Experiment, root: Path) -> SourceMap:
    """Return where the values of the resolved config were written, as far as `resolve` left that."""
    from otrainer.config import SourceMap  # not imported to find that nothing has to be done

    sources = artifact(experiment, "sources.json", root)
    try:
        return SourceMap.from_json(sources["places"], sources["includes"])
    except (TypeError, LookupError, AttributeError):
        return SourceMap()


def leave_receipt(experiment: Experiment, root: Path, run: Mapping[str, Any] | None) -> None:
    """Write into fit.json which run this build came to, by its `run_dir` and `definition`."""
    write_json(root / experiment.built(RECEIPT), run)


def first_told(experiment: Experiment, root: Path, notes: Sequence[str]) -> bool:
    """Return whether what there is to say of a finished run was not said yet, and keep in fit.json that it is now."""
    receipt = artifact(experiment, RECEIPT, root)
    if isinstance(receipt, dict) and receipt.get(TOLD) == list(notes):
        return False
    with suppress(OSError):  # where that cannot be kept, it is said again
        leave_receipt(experiment, root, {**(validated_run(experiment, root) or {}), TOLD: list(notes)})
    return True
