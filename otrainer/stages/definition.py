"""The definition of a run: one sha256 over all that decides what is trained."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from otrainer.fingerprint import Fingerprints
from otrainer.fingerprint.search_path import SearchPath, add, search_path
from otrainer.registry.effects import WHOLE, as_counted, relative, uncounted
from otrainer.registry.usage import code_of
from otrainer.stages.built import MANIFEST, as_left
from otrainer.storage import process_memory
from otrainer.storage.canonical_json import digest
from otrainer.storage.data_files import identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from otrainer.storage.experiments import Experiment

CODE_CACHE = "build/.code"
SEARCH = "search"  # in manifest.json, where plugins add to it


def look(root: Path) -> Fingerprints:
    """Return this process's one look at the sources, taken anew once modules are looked for in more folders.

    What was parsed is remembered under `build`.
    """
    return looked(root, search_path())


@cache
def looked(root: Path, _searched: SearchPath) -> Fingerprints:
    return Fingerprints(root=root, cache=root / CODE_CACHE)


def search_as_left(experiment: Experiment, root: Path) -> None:
    """Look for modules where `manifest` saw the experiment's plugins add folders, which this process may not import."""
    with suppress(OSError):
        status = (root / experiment.built(MANIFEST)).stat()
        # A manifest is large, and read once for all experiments that share it.
        known: dict[tuple[int, int, int], SearchPath] = process_memory.get("searches left", dict)
        which = status.st_dev, status.st_ino, status.st_mtime_ns
        if which not in known:
            known[which] = search_in(as_left(experiment, MANIFEST, root), root)
        add(known[which])


def search_in(manifest: Any, root: Path) -> SearchPath:
    """Return where a manifest says that plugins look for modules besides; nowhere where it says nothing readable."""
    try:
        return SearchPath.from_json(manifest[SEARCH], root)
    except (TypeError, KeyError, AttributeError):
        return SearchPath()


def fingerprints(root: Path) -> Fingerprints:
    """Return a look at the sources as they are now: the process's own as long as nothing has changed since.

    After that it is the latest one, for as long as that holds: each is some megabytes, which a notebook would gather.
    """
    seen = look(root)
    if seen.is_current():
        return seen
    latest: dict[Path, Fingerprints] = process_memory.get("latest looks", dict)
    if root not in latest or not latest[root].is_current():
        latest[root] = Fingerprints(root=root, cache=root / CODE_CACHE)
    return latest[root]


def define(
    config: Mapping[str, Any], code: Sequence[Mapping[str, Any]], data: Mapping[str, Mapping[str, Any]], root: Path
) -> str:
    """Return the sha256 of a definition; the order of sections does not count, what stands in them does in its order.

    `code` are the rows of `code_behind`, `data` the identities of declared files by name. Arguments without effect,
    notes, and where the run lies do not count.
    Raises OSError where the checkpoint that `run.resume_from` names cannot be read.
    """
    prints = [[row["key"], row["fingerprint"]] for row in code if WHOLE not in row.get("without_effect", ())]
    files = {relative(name, config): facts for name, facts in data.items()}
    return digest([sorted(counted(config, code, root).items()), prints, sorted(files.items())])


def counted(config: Mapping[str, Any], code: Sequence[Mapping[str, Any]], root: Path) -> dict[str, Any]:
    """Return the sections as they count: a checkpoint to start from by its content, unless it is the run's own."""
    run = dict(config["run"])
    if run.get("resume_from") is not None and not is_own(run["resume_from"], run["out_dir"], root):
        run["resume_from"] = identify(run["resume_from"], root).sha256
    sections: dict[str, Any] = as_counted({**config, "run": run}, uncounted(config, code))
    return sections


def is_own(checkpoint: str, run_dir: str, root: Path) -> bool:
    """Return whether a checkpoint lies in the run's own directory: training writes there, so it defines nothing."""
    return (root / checkpoint).resolve().is_relative_to((root / run_dir).resolve())


def detail(code: Sequence[Mapping[str, Any]], prints: Fingerprints) -> dict[str, Any]:
    """Return what the rows of the code are made of: the symbols that each begins with, all symbols with their digests,
    and which uses which."""
    codes = {row["key"]: code_of(row, prints) for row in code}
    return {
        "roots": {key: list(each.roots) for key, each in codes.items()},
        "symbols": dict(sorted(pair for each in codes.values() for pair in each.symbols.items())),
        "uses": dict(sorted((name, list(used)) for each in codes.values() for name, used in each.uses.items())),
    }


def outdated(code: Sequence[Mapping[str, Any]], prints: Fingerprints) -> list[str]:
    """Return the keys of rows whose code is another one now."""
    return [row["key"] for row in code if code_of(row, prints).digest != row["fingerprint"]]
