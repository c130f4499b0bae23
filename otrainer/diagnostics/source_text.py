"""The text that findings point at: lines as an editor counts them, and the token at a place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otrainer.errors import SourceLocation

LINE_END = re.compile(r"\r\n|\r|\n")
LONGEST = 10_000  # characters of a token: matching takes a hundred bytes for each
WORD = r"(?:\$\{[^}]*\}|[^\s,:{}\[\]]|:(?=[^\s,\[\]{}]))+"
# An expression, a quoted string, an alias or tag, plain words as YAML joins them, or else one character.
TOKEN = re.compile(
    rf"""\$\{{[^}}]*\}}?|"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?|[!&*][^\s,{{}}\[\]]*|{WORD}(?:\ +(?!\#){WORD})*|."""
)


class Sources:
    """Reads each file once for all the findings that are shown together."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[str, ...]] = {}

    def lines(self, file: str) -> tuple[str, ...]:
        """Return the lines of a file; none where it cannot be read."""
        if file not in self._lines:
            self._lines[file] = lines_of(file)
        return self._lines[file]

    def line(self, at: SourceLocation) -> str | None:
        """Return the line of `at`; None where the file has no such line, or `at` lies beyond its end."""
        lines = self.lines(at.file)
        if not (1 <= at.line <= len(lines) and 1 <= at.col <= len(lines[at.line - 1]) + 1):
            return None
        return lines[at.line - 1]

    def end_col(self, at: SourceLocation) -> int:
        """Return the column behind the token at `at`, at least one further."""
        token = TOKEN.match(self.line(at) or "", at.col - 1, at.col + LONGEST)
        return at.col + (len(token.group()) if token else 1)


def lines_of(file: str) -> tuple[str, ...]:
    try:
        path = Path(file)
        return tuple(LINE_END.split(path.read_text(encoding="utf-8-sig", errors="replace"))) if path.is_file() else ()
    except (OSError, ValueError):
        return ()
