"""What stages left in the build folder of an experiment, read back where it is there and whole.

Whoever looks deeper into an artifact than at a few values reads it by `as_left` or `needed`: only where each byte is as
the record of its stage knows it, values have the kinds that the stage gave them.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.canonical_json import from_json, read_json, write_json
from otrainer.storage.records import Record, place_of
from otrainer.storage.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otrainer.config import SourceMap
    from otrainer.storage.experiments import Experiment

VERSIONS = {"resolve": 2, "manifest": 3, "validate": 2, "schema": 1}
RESOLVED, SOURCES, PLUGINS, KEYS, VALIDATED = (
    "resolved.json",
    "sources.json",
    "plugins.json",
    "keys.json",
    "validated.json",
)
RECEIPT, TOLD = "fit.json", "told"
MANIFEST = "manifest.json"
MADE_BY = {
    **dict.fromkeys((RESOLVED, SOURCES, PLUGINS), "resolve"),
    **dict.fromkeys((MANIFEST, KEYS), "manifest"),
    VALIDATED: "validate",
}


def record_path(stage: str, experiment: Experiment, root: Path) -> Path:
    """Return where the record of a stage lies."""
    return record_in(experiment.build, stage, root)


@cache
def record_in(folder: Path, stage: str, root: Path) -> Path:
    return root / folder / f"{stage}.record.json"


def why_not_shared(experiment: Experiment, root: Path) -> str | None:
    """Return why manifest.json is not the one of which its record speaks; None if it is."""
    path, record = root / experiment.built(MANIFEST), record_path("manifest", experiment, root)
    try:
        if is_link_beside(path, record):
            return None
        left = {stamp.sha256 for stamp in Record.read(record).outputs.values()}  # a copy, as `cp -L` makes them
        is_it = hashlib.sha256(read_regular(path)).hexdigest() in left
    except (OSError, ValueError):
        is_it = False
    happened = "altered" if path.exists() else "deleted"
    return None if is_it else f"`{experiment.built(MANIFEST).as_posix()}` was {happened}."


def is_link_beside(path: Path, other: Path) -> bool:
    """Return whether two paths are links into one folder. Raises OSError where the first of them is none."""
    try:
        there = os.readlink(other)  # noqa: PTH115 - of a thousand experiments
    except OSError:
        return False
    return os.path.dirname(os.readlink(path)) == os.path.dirname(there)  # noqa: PTH115, PTH120


def as_left(experiment: Experiment, name: str, root: Path, left: Mapping[str, str] | None = None) -> Any:
    """Return an artifact just as its stage left it; None where it is gone, or any byte of it is another.

    `left` are the hashes of all that the stage left, where they are known.
    """
    try:
        known = left_by(MADE_BY[name], experiment, root) if left is None else left
        content = read_regular(root / experiment.built(name))
        return from_json(content) if known.get(name) == hashlib.sha256(content).hexdigest() else None
    except (OSError, ValueError):
        return None


def left_by(stage: str, experiment: Experiment, root: Path) -> dict[str, str]:
    """Return the sha256 of each artifact that a stage left, by its name, as its record says.

    There are none where another version of otrainer left them, which may have given them another form. Raises OSError
    where the record cannot be read, ValueError where it is damaged.
    """
    record = Record.read(record_path(stage, experiment, root))
    outputs = record.outputs if record.version == VERSIONS[stage] else {}
    return {os.path.basename(path): stamp.sha256 for path, stamp in outputs.items()}  # noqa: PTH119 - asked often


def needed(experiment: Experiment, root: Path, *names: str) -> list[Any]:
    """Return artifacts of one stage just as it left them. Raises ConfigError where one is not; it is made anew then."""
    stage = MADE_BY[names[0]]
    left: dict[str, str] = {}
    with suppress(OSError, ValueError):
        left = left_by(stage, experiment, root)
    found = [as_left(experiment, name, root, left) for name in names]
    for name in (name for name, content in zip(names, found, strict=True) if content is None):
        with suppress(OSError):  # its times and size may tell nothing
            Path(place_of(record_path(stage, experiment, root))).unlink()
        message = f"`{experiment.built(name).as_posix()}` is not as `{stage}` left it."
        hint = "Run the same command again: it is made anew."
        raise ConfigError(message, title="damaged artifact", hint=hint)
    return found


def artifact(experiment: Experiment, name: str, root: Path) -> Any:
    """Return an artifact as it is, whoever wrote it; None where it is not there, or cannot be read."""
    try:
        return read_json(root / experiment.built(name))
    except (OSError, ValueError):
        return None


def validated_run(experiment: Experiment, root: Path) -> dict[str, str] | None:
    """Return `run_dir` and `definition` as `validate` left them; None where it left nothing that can be read."""
    return run_in(artifact(experiment, VALIDATED, root))


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

    resolved = artifact(experiment, RESOLVED, root)
    try:
        run_dir = Path(resolved["config"]["run"]["out_dir"])
    except (TypeError, KeyError):
        return None
    return None if way_out(run_dir, root) else root / run_dir


def written_places(experiment: Experiment, root: Path) -> SourceMap:
    """Return where the values of the resolved config were written, as far as `resolve` left that."""
    from otrainer.config import SourceMap  # not imported to find that nothing has to be done

    sources = as_left(experiment, SOURCES, root)
    return SourceMap() if sources is None else SourceMap.from_json(sources["places"], sources["includes"])


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
