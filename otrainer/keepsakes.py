"""What a run folder keeps of how it came about: the config for people, the plugin sources, and facts of the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.artifacts import write_atomic, write_json
from otrainer.definition import detail, fingerprints
from otrainer.listing import annotated
from otrainer.registry.fingerprint.sources import rules

if TYPE_CHECKING:
    from otrainer.config import SourceMap
    from otrainer.plan import Plan

GIT_S = 5.0
CODE = "code"
FINGERPRINTS = "code/fingerprints.json"
RESOLVED = "resolved.yaml"
SOURCES = "code/sources.json"


def leave_keepsakes(run_dir: Path, plan: Plan, places: SourceMap | None, root: Path) -> None:
    """Write `resolved.yaml` and `code/` into a run folder."""
    write_atomic(run_dir / RESOLVED, annotated(plan.config, places).encode(), durable=False)
    prints = fingerprints(root)
    shutil.rmtree(run_dir / CODE, ignore_errors=True)  # of an earlier stretch of this run
    modules = [row["target"].partition(":")[0] for row in plan.code]
    for name, path in prints.modules([*modules, *(plan.config.get("imports") or ())]).items():
        if name.partition(".")[0] != "otrainer":
            target = run_dir / CODE / place_of(path, root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    write_json(run_dir / FINGERPRINTS, {"rules": rules(), **detail(plan.code, prints)}, durable=False)
    if places is not None:
        write_json(run_dir / SOURCES, {"places": places.to_json()}, durable=False)


def place_of(path: Path, root: Path) -> Path:
    """Where a source lies within `code`: as in the project, or below `outside` with its whole path."""
    if path.is_relative_to(root):
        return path.relative_to(root)
    return Path("outside", *path.parts[1:])


def versions() -> dict[str, str]:
    """Python's version and that of every installed package, by name."""
    found = {
        str(each.metadata["Name"]): each.version for each in distributions() if each.metadata and each.metadata["Name"]
    }
    return {"python": sys.version.split()[0], **dict(sorted(found.items(), key=lambda item: item[0].lower()))}


def git_state(root: Path) -> dict[str, Any] | None:
    """The commit of the project, and whether files differ from it (runs and build aside); None without git."""
    commit = git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = git(root, "status", "--porcelain", "--", ".", ":(exclude)runs", ":(exclude)build")
    return {"commit": commit.strip(), "dirty": bool(changes and changes.strip())}


def git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - words of our own
            ["git", "-C", str(root), *words],  # noqa: S607 - the user's git, wherever it lies
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def device_name(device: str) -> str:
    """The device that a run's setting means here, with the name of its model where it has one."""
    import torch

    found = torch.device(device)
    if found.type == "cuda" and torch.cuda.is_available():
        return f"{found} {torch.cuda.get_device_name(found)}"
    return str(found)
