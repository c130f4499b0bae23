"""Findings as plain data and back: how they travel from a worker to doit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from otrainer.errors import Finding, SourceLocation


def to_plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON can hold it."""
    return {part.name: getattr(finding, part.name) for part in fields(finding)}


def from_plain(data: dict[str, Any]) -> Finding:
    """Return the finding whose `to_plain` went through JSON."""
    location = data["location"] and SourceLocation(*data["location"])
    related = tuple((role, SourceLocation(*place)) for role, place in data["related"])
    includes = tuple(SourceLocation(*place) for place in data["includes"])
    names = {name: tuple(data[name]) for name in ("config_path", "suggestions", "experiments")}
    return Finding(**{**data, **names, "location": location, "related": related, "includes": includes})
