"""The text of a config file, which turns positions in it into lines and columns when somebody asks."""

from __future__ import annotations

import re
from bisect import bisect_right

from otrainer.errors import SourceLocation

LINE_END = re.compile(r"\r\n|\r|\n")


class TextFile:
    """A file's name and text; a node keeps no more than its index in the text."""

    __slots__ = ("name", "starts", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.starts: list[int] = []

    def place(self, index: int) -> SourceLocation:
        """Return where a character is."""
        return SourceLocation(self.name, *self.line_and_column(index))

    def line_and_column(self, index: int) -> tuple[int, int]:
        """Return the line and column of a character, as an editor counts."""
        if not self.starts:
            self.starts = [0, *(end.end() for end in LINE_END.finditer(self.text))]
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1


def shortened(text: str, most: int = 60) -> str:
    """`text` on one line, cut where it is long."""
    looked_at = text[: 20 * most]
    line = " ".join(looked_at.split())
    return line if len(line) <= most and looked_at == text else f"{line[:most]}..."
