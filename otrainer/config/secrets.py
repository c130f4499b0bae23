"""References to secrets in resolved strings: `${secret:NAME}` is live, `$${secret:` is the literal `${secret:`.

Only a file or a dict may make a live one; text that merely looks like one (from the environment, or put together from
several values) is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from otrainer.config.walk import texts, walk
from otrainer.errors import ConfigPath, Finding, SourceLocation, dotted
from otrainer.storage.canonical_json import text_of

OPENING = "${secret:"
REFERRED_TO = "secrets referred to"  # what a process remembers of the config whose plugins it runs
TOKEN = re.compile(r"(?P<escape>\$\$\{(?=secret:))|\$\{secret:(?P<name>[^{}]*)\}")


def references(value: object, path: ConfigPath = ()) -> Iterator[tuple[str, ConfigPath]]:
    """Yield every secret that `value` refers to, by name and place."""
    for place, text in walk(value, path):
        if isinstance(text, str) and OPENING in text:
            yield from ((match["name"].strip(), place) for match in TOKEN.finditer(text) if not match["escape"])


def mentions(value: object) -> bool:
    """Return whether a reference may stand anywhere in `value`, keys included, which a quick search tells."""
    if isinstance(value, str):
        return OPENING in value
    try:
        return OPENING in text_of(value)  # which changes none of its characters, and is written in C
    except (TypeError, ValueError, RecursionError):  # what is no plain data, or too deep
        return any(OPENING in text for text in texts(value))


def secrets_in(value: object) -> list[str]:
    """Return the names of the variables that `value` refers to as secrets."""
    return list(dict.fromkeys(name for name, _ in references(value))) if mentions(value) else []


def holds_secret(value: object) -> bool:
    """Return whether `value` refers to a secret, anywhere inside."""
    return mentions(value) and next(references(value), None) is not None


def out_of_place(path: ConfigPath, *, why: str, at: SourceLocation | None = None, on_key: bool = False) -> Finding:
    """Return the finding for a secret where none can be."""
    message = f"A secret has no place in {f'the key `{path[-1]}`' if on_key else f'`{dotted(path)}`'}: {why}."
    hint = "It goes to a component of your own, as an argument; what may be seen is `${env:NAME}`."
    return Finding(message, "secret out of place", path, location=at, on_key=on_key, hint=hint)


def secret_keys(value: object) -> Iterator[Finding]:
    """Yield a finding for every key in `value` that looks like a reference."""
    for place, _ in walk(value):
        if place and OPENING in str(place[-1]):
            yield out_of_place(place, why="keys are never evaluated", on_key=True)


def guarded(text: str) -> str:
    """Return literal text as it stands in resolved data."""
    return text.replace(OPENING, "$" + OPENING) if OPENING in text else text


def joined(pieces: Sequence[str]) -> str:
    """Return resolved strings as one. A reference that would only come about where two of them meet is escaped.

    Raises ValueError where a `$` right before a live reference would turn that into a literal.
    """
    whole = "".join(pieces)
    if OPENING not in whole:
        return whole
    whole = ""
    for piece in pieces:
        if piece.startswith(OPENING) and whole.endswith("$"):
            raise ValueError(piece)
        seam = len(whole)
        whole += piece
        at = whole.find(OPENING, max(0, seam - len(OPENING) + 1))
        if 0 <= at < seam < at + len(OPENING):
            whole = f"{whole[:at]}${whole[at:]}"
    return whole
