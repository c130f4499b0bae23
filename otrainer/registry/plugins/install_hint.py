"""How to get a package that is not installed: by the extra of otrainer that brings it, else by its own name."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

from otrainer.registry.plugins.packages import normalised

OTHER_NAMES = {"sklearn": "scikit-learn"}  # what a package is called that is imported under another name
EXTRA = re.compile(r"""(?P<name>[A-Za-z0-9._-]+).*extra\s*==\s*["'](?P<extra>[^"']+)["']""")


def how_to_install(error: ImportError) -> str:
    """Return the command that installs what an import missed; empty where it is there, or belongs to no package."""
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not package or is_there(package):
        return ""
    name = OTHER_NAMES.get(package, package)
    extra = extra_with(name)
    return f"Run `pip install 'otrainer[{extra}]'`." if extra else f"Run `pip install {name}`, or what brings it."


def is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def extra_with(name: str) -> str | None:
    """Return the first of otrainer's own extras that lists a package."""
    try:
        listed = requires("otrainer") or []
    except PackageNotFoundError:
        return None
    rows = (match for match in map(EXTRA.match, listed) if match)
    return next((row["extra"] for row in rows if normalised(row["name"]) == normalised(name)), None)
