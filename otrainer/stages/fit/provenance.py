"""What a run folder keeps of how it came about: the config for people, the plugin sources, and facts of the machine."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.config.to_yaml import annotated
from otrainer.errors import ConfigError
from otrainer.fingerprint.sources import rules
from otrainer.registry.plugins.packages import all_installed
from otrainer.stages.definition import detail
from otrainer.stages.fit.run_directory import OUT_DIR, folder_errors_at
from otrainer.storage.atomic import is_own_file, sweep, sync_file, write_atomic
from otrainer.storage.canonical_json import write_json
from otrainer.storage.runs.files import CODE, FINGERPRINTS, RESOLVED, SOURCES, code_files
from otrainer.storage.runs.ownership import refuse_links

if TYPE_CHECKING:
    from otrainer.config import SourceMap
    from otrainer.fingerprint import Fingerprints
    from otrainer.stages.plan import Plan


@folder_errors_at(*OUT_DIR)
def leave_provenance(run_dir: Path, plan: Plan, places: SourceMap | None, prints: Fingerprints, root: Path) -> None:
    """Write `resolved.yaml` and `code/` into a run folder, from the look at the sources by which it trains.

    Raises ConfigError where a link, or a file that otrainer did not write, is in the way.
    """
    code = run_dir / CODE
    refuse_links(run_dir / name for name in (RESOLVED, CODE, FINGERPRINTS, SOURCES))
    for folder in (run_dir, code):
        sweep(folder)
    write_atomic(run_dir / RESOLVED, annotated(plan.config, places).encode(), durable=False)
    remove_code(run_dir)  # of an earlier stretch of this run
    modules = [row["target"].partition(":")[0] for row in plan.code]
    sources = {
        place_of(path, root).as_posix(): path
        for name, path in prints.modules([*modules, *(plan.config.get("imports") or ())]).items()
        if name.partition(".")[0] != "otrainer"
    }
    # Named first, on the disk too: a run that is cut off meanwhile knows which files, torn ones too, are its own.
    whole = {"rules": rules(), **detail(plan.code, prints), "files": sorted(sources)}
    write_json(run_dir / FINGERPRINTS, whole)
    for name, path in sources.items():
        copy_source(path, code / name, code)
    if places is not None:
        write_json(run_dir / SOURCES, {"places": places.to_json()}, durable=False)


def seal_provenance(run_dir: Path) -> None:
    """Put what `leave_provenance` wrote on the disk; by then most of it is there, so that little is waited for."""
    kept = (
        run_dir / name
        for name in (RESOLVED, FINGERPRINTS, SOURCES, *(f"{CODE}/{each}" for each in code_files(run_dir)))
    )
    for path in filter(is_own_file, kept):
        with path.open("rb") as file:
            sync_file(file, path)


def remove_code(run_dir: Path) -> None:
    """Remove the sources that the run in this folder kept, and folders that are empty then; nothing else."""
    own = set(code_files(run_dir))
    for here, _, files in os.walk(run_dir / CODE, topdown=False):
        for path in (Path(here, name) for name in files):
            if path.relative_to(run_dir / CODE).as_posix() in own and is_own_file(path):
                path.unlink()
        with suppress(OSError):  # something is left in it
            Path(here).rmdir()


def copy_source(path: Path, target: Path, code: Path) -> None:
    """Copy a source to its place below `code`; raise ConfigError where a link or another file is there."""
    refuse_links(each for each in target.parents if each.is_relative_to(code))
    if os.path.lexists(target) and not (is_own_file(target) and target.read_bytes() == path.read_bytes()):
        message = f"`{target}` is no source that this run keeps, and one would take its place."
        raise ConfigError(message, title="name taken", config_path=OUT_DIR, hint="Move what is there.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())


def place_of(path: Path, root: Path) -> Path:
    """Return where a source lies within `code`: as in the project, or below `outside` with its whole path."""
    if path.is_relative_to(root):
        return path.relative_to(root)
    return Path("outside", *path.parts[1:])


def versions() -> dict[str, str]:
    """Return Python's version and that of every installed package, by name: of several the one that is imported."""
    return {"python": sys.version.split()[0], **dict(sorted(all_installed().items(), key=lambda item: item[0].lower()))}


def device_name(device: str) -> str:
    """Return the device that a run's setting means here, with the name of its model where it has one."""
    import torch

    found = torch.device(device)
    if found.type == "cuda" and torch.cuda.is_available():
        return f"{found} {torch.cuda.get_device_name(found)}"
    return str(found)
