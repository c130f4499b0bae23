"""Installed packages whose version counts as code, by `settings.track_packages`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Any

from otrainer.errors import Finding, nearest
from otrainer.fingerprint import Code
from otrainer.fingerprint.normal_form import digest_of

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
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


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
            known = {str(each.metadata["Name"]) for each in distributions() if each.metadata["Name"]}
            yield Finding(
                f"There is no installed package `{name}`.",
                "package not found",
                ("settings", "track_packages", index),
                suggestions=nearest(name, sorted(known)),
                hint="Names are those that `pip list` shows.",
            )
