"""Values told as they stand in their file: a name that YAML reads as something else, a text that lacks a cast."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from otrainer.config.kinds import kind_of
from otrainer.config.scalars import plain_value
from otrainer.diagnostics.source_text import Sources

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.errors import Finding, SourceLocation

NAME = ("run", "name")
# A hint on a text where a number or a truth belongs, and what may stand in the file: a variable, or quotes.
WITH_CAST = re.compile(r"(?P<plain>Write .*?without quotes), or, from the environment, .*?\$\{env:(?P<cast>\w+):NAME.*")
VARIABLE = re.compile(r"[\"']?\$\{\s*env:(?P<named>[A-Za-z_]\w*\s*(,[^}]*)?)\}[\"']?")
TOKEN = re.compile(r"[^\s,{}\[\]#\"'&*!]+")


def with_names_as_written(findings: Iterable[Finding], config: ResolvedConfig) -> Iterator[Finding]:
    """Yield the findings; that on a name which is no text gets the text that has to be put in quotes.

    That on a text without a cast says which variable lacks it, or that the quotes are too many.
    """
    for finding in findings:
        if hint := WITH_CAST.fullmatch(finding.hint):
            finding = replace(finding, hint=next_step(hint, config.source_map.locate(finding.config_path)))
        run = config.data.get("run")
        value = run.get("name") if finding.config_path == NAME and isinstance(run, dict) else None
        text = written(config) if isinstance(value, bool | int | float) else ""
        if text and plain_value(text) == value:
            told = f"not `{text}`, which YAML reads as {kind_of(value)}."
            message = finding.message.partition(", not ")[0]
            finding = replace(finding, message=f"{message}, {told}", hint=f'Write it in quotes: `name: "{text}"`.')
        yield finding


def next_step(hint: re.Match[str], at: SourceLocation | None) -> str:
    """Return the hint that fits what stands in the file."""
    line = Sources().line(at) if at is not None else None
    there = line[at.col - 1 :] if line is not None and at is not None else ""
    if variable := VARIABLE.match(there):
        return f"Give it a cast: `${{env:{hint['cast']}:{variable['named'].strip()}}}`."
    return f"{hint['plain']}." if there[:1] in ('"', "'") else hint[0]


def written(config: ResolvedConfig) -> str:
    """Return what stands in the file at the name's place; empty where that is no plain word."""
    at = config.source_map.locate(NAME)
    line = Sources().line(at) if at is not None else None
    match = TOKEN.match(line, at.col - 1) if line is not None and at is not None else None
    try:
        return match[0] if match and plain_value(match[0]) is not None else ""
    except ValueError:  # a number too large
        return ""
