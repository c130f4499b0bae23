"""Dotted names that stand in a config as values, such as `target: mylib.scale.factor`: code that a component imports.

What they name in the project counts, as what `_target_` names does; nothing is imported to find it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from otrainer.fingerprint.locate import is_own
from otrainer.fingerprint.names import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.errors import ConfigPath
    from otrainer.fingerprint import Fingerprints

# "package.module.name", or "package.module:name".
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*([.:][^\W\d]\w*)(\.[^\W\d]\w*)*")
# Sections that name code in ways of their own, or none.
ELSEWHERE = ("imports", "settings", "params", "run")
# What names a registered key, or a target, which count by themselves.
WORDS = ("_type_", "_target_", "call")


def named_in(found: Iterable[tuple[ConfigPath, object]], prints: Fingerprints) -> dict[str, str]:
    """Return the dotted names of local code among the values that `walk` finds in a config, sorted, each with its
    target."""
    texts = (
        value
        for path, value in found
        if isinstance(value, str) and path and path[0] not in ELSEWHERE and path[-1] not in WORDS
    )
    named = {text: target_of(text, prints) for text in sorted({text for text in texts if DOTTED.fullmatch(text)})}
    return {text: target for text, target in named.items() if target is not None}


def target_of(text: str, prints: Fingerprints) -> str | None:
    """Return what a text names as "module:name", all of a module where it names no more; None where nothing local."""
    parts = text.replace(":", ".").split(".")
    for size in range(len(parts), 0, -1):
        module, rest = ".".join(parts[:size]), parts[size:]
        if is_own(module) or prints.file_of(module) is None:
            continue
        if not rest:
            return f"{module}:{WHOLE}"
        known = prints.defines(module, rest[0]) or prints.defines(module, "__getattr__")
        return f"{module}:{'.'.join(rest)}" if known else None
    return None


def sources_of(targets: Iterable[str], prints: Fingerprints) -> dict[str, Path]:
    """Return the user's modules that code reaches which no plugin need import, with their files."""
    return dict(sources_from(tuple(targets), prints))


@cache
def sources_from(targets: tuple[str, ...], prints: Fingerprints) -> dict[str, Path]:
    modules = dict.fromkeys(module for target in targets for module, _ in prints.roots_of(target))
    return {name: file for name, file in prints.modules(modules).items() if not is_own(name)}
