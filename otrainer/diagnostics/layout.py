"""A finding as lines of text, each part with its role: what a log prints as it is, and a terminal in colours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otrainer.diagnostics.characters import cells, visible
from otrainer.diagnostics.excerpt import Line, excerpt
from otrainer.errors import did_you_mean, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otrainer.diagnostics.source_text import Sources
    from otrainer.errors import Finding

MARGIN = "  "
NAMED = 3  # experiments that are named before the rest is counted
WORD = re.compile(r"(?:`[^`]*`|\S)+|\s+")
NAME = re.compile(r"(`[^`]*`)")


def report(finding: Finding, sources: Sources, width: int | None = None) -> Iterator[Line]:
    """Yield the lines of a finding, its prose wrapped to `width` cells where one is given."""
    yield headline(finding)
    if finding.location:
        yield from excerpt(finding.location, sources, width)
    for place in finding.includes:
        yield from prose(f"included by {place}", "note", width)
    if finding.details:
        yield from ([(f"{MARGIN}{visible(line)}", "text")] for line in finding.details.splitlines())
    else:
        yield from prose(finding.message, "text", width, did_you_mean(finding.suggestions))
    for role, place in finding.related:
        yield from prose(f"{role}: {place}", "note", width)
    yield from prose(finding.hint, "text", width)
    yield from prose(occasion(finding), "note", width)


def headline(finding: Finding) -> Line:
    place = str(finding.location or dotted(finding.config_path))
    return [(visible(finding.title), "title"), *([(" ── ", "gutter"), (visible(place), "place")] if place else [])]


def occasion(finding: Finding) -> str:
    """Say what was being done, and for which experiments."""
    if not finding.experiments:
        return f"while {finding.doing.removesuffix(' of').removesuffix(' for')}" if finding.doing else ""
    return f"while {finding.doing} {counted(finding.experiments)}" if finding.doing else ""


def counted(names: Iterable[str]) -> str:
    """List names as `a`, `a and b`, `a, b, c and 97 more`."""
    known = list(names)
    shown = known if len(known) <= NAMED + 1 else [*known[:NAMED], f"{len(known) - NAMED} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def again(finding: Finding, names: Iterable[str]) -> Line:
    """Return the line for a mistake that was shown before."""
    return [*headline(finding), (f" ── again in {visible(counted(names))}", "note")]


def prose(text: str, role: str, width: int | None, suggested: str = "") -> Iterator[Line]:
    """Yield sentences below the headline; names in them, and above all those suggested, have roles of their own."""
    paragraphs = text.splitlines() or [""]
    for number, paragraph in enumerate(paragraphs, 1):
        words = list(words_of(paragraph, role, "name" if role == "text" else role))
        if number == len(paragraphs):
            words += words_of(suggested, role, "suggestion")
        if words:
            yield from wrapped(words, width)


def words_of(text: str, role: str, quoted: str) -> Iterator[Line]:
    """Yield the words of `text` and the blanks between them; a name in backticks may hold blanks of its own."""
    for word in WORD.findall(text):
        yield [(visible(part), quoted if part.startswith("`") else role) for part in NAME.split(word) if part]


def wrapped(words: Iterable[Line], width: int | None) -> Iterator[Line]:
    """Wrap `words` on as many lines as they take; one that is longer than a line has it to itself."""
    line: Line = [(MARGIN, "text")]
    used = len(MARGIN)
    for word in words:
        size = sum(cells(text) for text, _ in word)
        if width is not None and used + size > width and len(line) > 1:
            yield line[:-1] if line[-1][0].isspace() else line
            line, used = [(MARGIN, "text")], len(MARGIN)
            if word[0][0].isspace():
                continue
        line += word
        used += size
    yield line
