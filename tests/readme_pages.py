"""The READMEs as data: their blocks in order, their tables and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`((?:configs|extensions|data)/[\w/]+\.(?:yaml|py|txt|csv))`")
REPORT = re.compile(r"\A[^\n]+ ── [^\n]+:\d+:\d+$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: `kind` is its whole info string, `file` the one that the line above says to write, if any."""

    page: str
    line: int
    kind: str
    text: str
    file: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str:
        """A name for an experiment that tries this block."""
        return f"line_{self.line}"

    @property
    def is_report(self) -> bool:
        """Whether it shows what is drawn of a mistake."""
        return self.kind == "" and REPORT.match(self.text) is not None


def page_text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text = page_text(page)
    found = []
    for match in FENCE.finditer(text):
        above = text[: match.start()].rstrip().splitlines()[-1:]
        named = NAMED.findall(above[0]) if above and re.search(r"\b[Ww]rite\b", paragraph_above(text, match)) else []
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match[1].strip(), match[2], named[-1] if named else None))
    return found


def paragraph_above(text: str, match: re.Match[str]) -> str:
    return text[: match.start()].rstrip().rpartition("\n\n")[2]


def table(page: str, *header: str) -> list[list[str]]:
    """The rows of the table whose header begins so, its cells without the marks of code."""
    lines = iter(page_text(page).splitlines())
    for line in lines:
        if cells(line)[: len(header)] == list(header):
            next(lines)
            return list(rows(lines))
    raise LookupError(f"{page} has no table that begins with {header}")


def rows(lines: Iterator[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield cells(line)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")] if line.startswith("|") else []


def bare(cell: str) -> str:
    """A cell that is one piece of code, as that code."""
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == "`" else cell


def names_in(cell: str) -> list[str]:
    """Every piece of code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def links(page: str) -> list[str]:
    return LINK.findall(FENCE.sub("", page_text(page)))


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", page_text(page)))
    }
