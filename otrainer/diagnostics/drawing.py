"""Findings drawn: as plain text, or in colours where a terminal shows them."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import IO, TYPE_CHECKING

from otrainer.diagnostics.layout import again, report
from otrainer.diagnostics.say import unguarded
from otrainer.diagnostics.source_text import Sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from otrainer.diagnostics.excerpt import Line
    from otrainer.errors import ConfigError, Finding

# Of the eight standard colours the two that can be read on light and dark backgrounds alike; the rest is weight.
STYLES = {
    "title": "bold red",
    "place": "bold",
    "gutter": "dim",
    "source": "",
    "mark": "bold red",
    "text": "",
    "name": "bold",
    "suggestion": "bold green",
    "note": "dim",
}


def draw(finding: Finding) -> str:
    """Draw a finding as plain text: its line drawn and underlined, what was meant, and the next step."""
    return plain(report(finding, Sources()))


def draw_error(error: ConfigError) -> str:
    """Draw every finding of `error` as plain text, a blank line between two."""
    return draw_all(error.findings)


def draw_all(findings: Iterable[Finding]) -> str:
    """Draw findings as plain text, a blank line between two."""
    sources = Sources()
    return "\n\n".join(plain(report(finding, sources)) for finding in findings)


def plain(lines: Iterable[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def show(
    findings: Iterable[Finding], repeated: Iterable[tuple[Finding, tuple[str, ...]]] = (), stream: IO[str] | None = None
) -> None:
    """Print findings, then a line for each that was shown before and has been met again (default: to stderr)."""
    stream = stream or sys.stderr
    stream = unguarded(stream)  # in what is drawn, signs stand already
    console = terminal(stream)
    width = console.width if stream.isatty() else None
    sources = Sources()
    blocks = [list(report(finding, sources, width)) for finding in findings]
    lines = [*joined(blocks), *(again(finding, names) for finding, names in repeated)]
    if console.color_system is None or console.no_color:
        print(plain(lines), file=stream, flush=True)
        return
    from rich.text import Text

    for line in lines:
        runs = groupby(line, key=lambda span: STYLES[span[1]])
        spans = [("".join(text for text, _ in run), style) for style, run in runs]
        console.print(Text.assemble(*spans), soft_wrap=True)
    stream.flush()


def joined(blocks: list[list[Line]]) -> Iterator[Line]:
    """Yield the lines of all blocks, an empty one between two."""
    for number, block in enumerate(blocks):
        yield from [[]] * (number > 0)
        yield from block


def terminal(stream: IO[str]) -> Console:
    """Return the console of a stream, with its width and the colours it wants (NO_COLOR, FORCE_COLOR, TERM)."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)
