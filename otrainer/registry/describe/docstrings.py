"""What a docstring says: of the whole, and of each argument (Google's style, as torch and most others write it)."""

from __future__ import annotations

import re
from collections.abc import Iterator

SECTION = re.compile(
    r"(Args|Arguments|Parameters|Keyword Args|Keyword Arguments|Shape|Examples?|Attributes|Notes?|Inputs|Outputs|"
    r"Raises|Returns|Yields|References|Variables|Warnings?|See Also)\s*:+\s*.*|\.\. .*"
)
ARGUMENTS = re.compile(r"(Args|Arguments|Parameters|Keyword Args|Keyword Arguments)\s*:\s*")
ENTRY = re.compile(r"\*{0,2}`*(\w+)`*\s*(?:\(.*?\))?\s*:(?!\w)\s*(.*)")
ROLE = re.compile(r":\w+:`~?([^`<]*?)(?:\s*<[^>]*>)?`")
EMPTY = re.compile(r"\n\s*\n")
SENTENCE = re.compile(r".+?(?:[.;!?](?=\s|$)|$)")


def summary(text: str) -> str:
    """Return the text before the first section or directive of reStructuredText, without the markup of its roles."""
    lines: list[str] = []
    for line in text.splitlines():
        if SECTION.fullmatch(line):
            return introduction(plain("\n".join(lines)))
        lines.append(line.rstrip())
    return plain("\n".join(lines))


def introduction(text: str) -> str:
    """Return `text` without a last paragraph that only introduces what was left out."""
    head, _, last = text.rpartition("\n\n")
    return head if head and last.endswith(":") else text


def arguments(text: str) -> dict[str, str]:
    """Return the description of each argument as one paragraph."""
    found: dict[str, list[str]] = {}
    name = ""
    for line, depth, base in inside_arguments(text):
        entry = ENTRY.match(line) if depth == base else None
        if entry:
            name = entry[1]
            found[name] = [entry[2]]
        elif name and depth > base:
            found[name].append(line)
    return {name: plain(" ".join(filter(None, lines))) for name, lines in found.items()}


def inside_arguments(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the lines of argument sections, each with its indentation and that of its section's entries."""
    base = None
    inside = False
    for line in text.splitlines():
        stripped = line.strip()
        depth = len(line) - len(line.lstrip())
        if stripped and depth == 0:
            inside, base = ARGUMENTS.fullmatch(line) is not None, None
        elif stripped and inside:
            base = depth if base is None else base
            yield stripped, depth, base


def plain(text: str) -> str:
    """Put each paragraph on a line, without the markup of reStructuredText; lists keep their lines."""
    bare = ROLE.sub(r"`\1`", text).replace("``", "`").strip()
    paragraphs = (paragraph.splitlines() for paragraph in EMPTY.split(bare))
    return "\n\n".join("\n".join(lines) if is_list(lines) else " ".join(lines) for lines in paragraphs)


def is_list(lines: list[str]) -> bool:
    return any(line.startswith((" ", "- ", "* ")) for line in lines)


def mentions(text: str, name: str) -> str:
    """Return the sentences of a text that name an argument in backticks."""
    sentences = (sentence for line in text.splitlines() for sentence in SENTENCE.findall(line))
    return " ".join(sentence.strip() for sentence in sentences if f"`{name}`" in sentence)
