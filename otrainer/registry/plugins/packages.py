"""Installed packages whose version counts as code, by `settings.track_packages`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from otrainer.errors import Finding, nearest
from otrainer.fingerprint import Code
from otrainer.fingerprint.normal_form import digest_of
from otrainer.fingerprint.search_path import search_path

PREFIX = "package:"
METADATA = ("METADATA", "PKG-INFO")


def tracked(config: Mapping[str, Any]) -> list[str]:
    """Return the packages that a config tracks, by their normalised names, in order."""
    names = (config.get("settings") or {}).get("track_packages") or ()
    return sorted(set(map(normalised, names)))


def normalised(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def package_rows(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row of `code_behind` for each package that a config tracks; its target says the version."""
    names = tracked(config)
    return [{"key": PREFIX + name, "target": f"{name} {version_of(name)}", "plugin": None} for name in names]


def package_code(key: str) -> Code:
    """Return a package as code: its version as installed now."""
    digest = digest_of(version_of(key.removeprefix(PREFIX)))
    return Code(digest, {key: digest}, {}, (key,), ())


def version_of(name: str) -> str:
    """Return the installed version; `not installed` where there is none."""
    found = installed(name)
    return found.version if found is not None else "not installed"


def installed(name: str) -> Distribution | None:
    """Return an installed package, of several the one that is imported; None where there is none."""
    return next((each for each in found_on_path(name=name) if named(each)), None)


def all_installed() -> dict[str, str]:
    """Return the version of every installed package by its name; of several the one that is imported."""
    found: dict[str, tuple[str, str]] = {}
    for each in found_on_path():
        if pair := named(each):
            found.setdefault(normalised(pair[0]), pair)  # what comes first on the path
    return dict(found.values())


def found_on_path(name: str | None = None) -> Iterable[Distribution]:
    """Look for packages where modules are looked for, in folders that plugins add as well."""
    return distributions(name=name, path=search_path().around(sys.path))


def named(found: Distribution) -> tuple[str, str] | None:
    """Return the name and version that a package says; None for what pip has left over of one."""
    facts = found.metadata
    name, version = (facts[key] if facts and key in facts else "" for key in ("Name", "Version"))
    return (name, version) if name and version else None


def metadata_files(config: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a file for each tracked package that changes or vanishes once another version is installed."""
    for name in tracked(config):
        found = installed(name)
        for file in (found.files or ()) if found is not None else ():
            if file.name in METADATA and len(file.parts) == 2:
                yield Path(str(file.locate()))


def check_packages(names: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for each package of `settings.track_packages` that is not installed."""
    for index, name in enumerate(names):
        if installed(name) is None:
            yield Finding(
                f"There is no installed package `{name}`.",
                "package not found",
                ("settings", "track_packages", index),
                suggestions=nearest(name, sorted(all_installed())),
                hint="Names are those that `pip list` shows.",
            )
