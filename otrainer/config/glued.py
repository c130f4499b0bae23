"""Entries that lack the blank after their colon (`name:x`): YAML reads them as text where a mapping is expected."""

from __future__ import annotations

import re
from collections.abc import Iterator

from otrainer.config.nodes import Mapping, Node, Scalar, place_of
from otrainer.config.sections import SECTIONS
from otrainer.errors import ConfigPath, Finding

ENTRY = re.compile(r"([A-Za-z_]\w*):(?![\s/\\:])\S")
MAPPINGS = ("run", "settings", "model", *(section.name for section in SECTIONS if not section.many))
INSIDE = ("kwargs", "_kwargs_", "graph", "sequential", "modules", "model_kwargs", "targets")


def glued_entries(tree: Mapping) -> Iterator[Finding]:
    """Yield a finding for each section, or mapping in one, that is text which begins as an entry does."""
    for name, node in tree.items.items():
        if name in MAPPINGS:
            yield from glued(node, (name,))
            for inside, below in node.items.items() if isinstance(node, Mapping) else ():
                if inside in INSIDE:
                    yield from glued(below, (name, inside))


def glued(node: Node, path: ConfigPath) -> Iterator[Finding]:
    match = ENTRY.match(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if match:
        word = match[1]
        message = f"After `{word}:` a blank is missing: without it this is text, and `{path[-1]}` is a mapping."
        hint = f"Write `{word}: {match.string[match.end(1) + 1 :].split()[0]}`."
        yield Finding(message, "blank missing after a colon", path, location=place_of(node), hint=hint)
