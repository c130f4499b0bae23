"""Read the names whose meaning is known: those of Python itself, and what of other packages has no lasting effect."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PATH = Path(__file__).with_suffix(".txt")


@cache
def sections() -> dict[str, frozenset[str]]:
    """Return the words of each section of the file, under its title; a line with `#` is a comment."""
    found = {}
    for block in PATH.read_text("ascii").split("\n[")[1:]:
        title, _, rest = block.partition("]")
        lines = (line for line in rest.splitlines() if not line.startswith("#"))
        found[title] = frozenset(" ".join(lines).split())
    return found


def kinds(title: str) -> dict[str, str]:
    """Return the words of all sections "title: kind", each with its kind."""
    found = ((name.partition(": "), words) for name, words in sections().items())
    return {word: kind for (first, _, kind), words in found if first == title for word in words}


BUILTIN_NAMES = sections()["builtin names"]
PURE_CALLS = sections()["pure calls"]
PURE_DECORATORS = sections()["pure decorators"]
KNOWN_PACKAGES = sections()["known packages"]
