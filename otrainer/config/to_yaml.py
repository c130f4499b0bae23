"""A resolved config as YAML that people read: each value with the file and line that it came from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.config.scalars import plain_value
from otrainer.diagnostics.say import in_a_line

if TYPE_CHECKING:
    from otrainer.config import SourceMap
    from otrainer.errors import ConfigPath

INDENT = "  "
# Comments begin in one column, unless a line is longer.
COMMENT_COLUMN = 60
FLOW_WIDTH = 76
PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
# What looks like an expression is a literal by now; only secrets are still references.
EXPRESSION = re.compile(r"(?<!\$)\$\{(?!secret:)")
NAMED_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Line(NamedTuple):
    text: str
    path: ConfigPath


def annotated(config: Mapping[str, Any], places: SourceMap | None = None) -> str:
    """`config` as YAML in its own order, which reads back as the same; each value's place is a comment behind it."""
    lines = list(mapping_lines(config, (), ""))
    notes = [place_note(line.path, places) for line in lines]
    width = min(max((len(line.text) for line in lines), default=0), COMMENT_COLUMN)
    rows = (f"{line.text:<{width}}  # {note}" if note else line.text for line, note in zip(lines, notes, strict=True))
    return "\n".join([*rows, ""])


def place_note(path: ConfigPath, places: SourceMap | None) -> str:
    at = places.locate(path) if places is not None and path else None
    return in_a_line(f"{at.file}:{at.line}") if at is not None else ""


def mapping_lines(value: Mapping[str, Any], path: ConfigPath, margin: str) -> Iterator[Line]:
    for key, item in value.items():
        yield from entry_lines(f"{margin}{scalar_text(key)}:", item, (*path, key), margin + INDENT)


def entry_lines(head: str, item: Any, path: ConfigPath, margin: str) -> Iterator[Line]:
    """Yield the lines of a value behind `head`: on the same line if it is short and plain or empty, else below it."""
    flow = flow_text(item)
    if flow is not None and (len(head) + len(flow) < FLOW_WIDTH or not item or not isinstance(item, Mapping | list)):
        yield Line(f"{head} {flow}", path)
    elif isinstance(item, Mapping):
        yield Line(head, ())
        yield from mapping_lines(item, path, margin)
    else:
        yield Line(head, ())
        for index, each in enumerate(item):
            yield from element_lines(each, (*path, index), margin)


def element_lines(item: Any, path: ConfigPath, margin: str) -> Iterator[Line]:
    """Yield the lines of a list's element; the first key of a mapping stands behind its dash."""
    if isinstance(item, Mapping) and item:
        first, *rest = mapping_lines(item, path, margin + INDENT)
        yield Line(f"{margin}- {first.text.lstrip()}", first.path)
        yield from rest
    else:
        yield from entry_lines(f"{margin}-", item, path, margin + INDENT)


def flow_text(item: Any) -> str | None:
    """Return a scalar, an empty collection or a list of scalars on one line; None for anything else."""
    if isinstance(item, Mapping):
        return None if item else "{}"
    if isinstance(item, list):
        nested = any(isinstance(each, Mapping | list) for each in item)
        return None if nested else f"[{', '.join(map(scalar_text, item))}]"
    return scalar_text(item)


def scalar_text(value: Any) -> str:
    """Return a scalar as YAML, quoted where it would read as something else."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
    if not isinstance(value, str):
        return repr(value)
    text = EXPRESSION.sub("$${", value)
    return text if PLAIN.fullmatch(text) and reads_as_itself(text) else quoted(text)


def reads_as_itself(text: str) -> bool:
    try:
        return plain_value(text) == text
    except ValueError:  # a number longer than any that is read
        return False


def quoted(text: str) -> str:
    """`text` in double quotes; what does not print is escaped."""
    return f'"{"".join(map(escaped, text))}"'


def escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return NAMED_ESCAPES.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
