"""What a run was made of, and what of its data and versions is another now."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from otrainer.config.source_map import SourceMap
from otrainer.storage.canonical_json import read_json
from otrainer.storage.runs.files import FINGERPRINTS, SOURCES

if TYPE_CHECKING:
    from pathlib import Path

# Packages whose other versions change numbers most likely come first.
TELLING = ("python", "torch", "numpy", "otrainer")
MOST_DRIFTED = 4


def data_sentences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each data file that differs."""
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old:
            yield f"The data file `{name}` is new."
        elif name not in new:
            yield f"The data file `{name}` is not used any more."
        elif old[name] != new[name]:
            yield f"The data file `{name}` changed."


def version_drift(old: Mapping[str, str]) -> Iterator[str]:
    """Yield which packages were others when a run was trained; they do not count."""
    first = [name for name in TELLING if name in old]
    now = ((name, old[name], version_now(name)) for name in dict.fromkeys([*first, *old]))
    drifted = [f"{name} was {then}, is {found or 'gone'}" for name, then, found in now if then != found]
    more = f"; {len(drifted) - MOST_DRIFTED} more" if len(drifted) > MOST_DRIFTED else ""
    if drifted:
        yield f"Other versions: {'; '.join(drifted[:MOST_DRIFTED])}{more}. These alone do not retrain."


def version_now(package: str) -> str | None:
    try:
        return platform.python_version() if package == "python" else version(package)
    except PackageNotFoundError:
        return None


def run_detail(run_dir: Path) -> Mapping[str, Any] | None:
    """Return what the code of a run was made of; None where that is not there, or damaged."""
    try:
        detail: Mapping[str, Any] = read_json(run_dir / FINGERPRINTS)
        return detail if {"roots", "symbols", "uses"} <= detail.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def run_places(run_dir: Path) -> SourceMap | None:
    """Return where the values of a run's config were written then; None where that is not known."""
    try:
        return SourceMap.from_json(read_json(run_dir / SOURCES)["places"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
