"""Name the kinds of mistakes, and the tool that finds them, as machine-readable reports do."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

TOOL = "otrainer"
NOT_IN_IDS = re.compile(r"[^a-z0-9]+")
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def rule_id(title: str) -> str:
    """Return the id of a kind of mistake: its title's words joined by hyphens, an exception's name taken apart."""
    return NOT_IN_IDS.sub("-", HUMP.sub("-", title).lower()).strip("-") or "error"


def own_version() -> str:
    try:
        return version(TOOL)
    except PackageNotFoundError:  # it runs from its sources
        return "0"
