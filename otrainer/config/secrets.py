"""References to secrets in resolved strings: `${secret:NAME}` is live, `$${secret:` is the literal `${secret:`.

Only a file or a dict may make a live one; text that merely looks like one (from the environment, or put together from
several values) is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from otrainer.errors import ConfigPath, Finding, SourceLocation, dotted

OPENING = "${secret:"
TOKEN = re.compile(r"(?P<escape>\$\$\{(?=secret:))|\$\{secret:(?P<name>[^{}]*)\}")


def references(value: object, path: ConfigPath = ()) -> Iterator[tuple[str, ConfigPath]]:
    """Every secret that `value` refers to, by name and place."""
    if isinstance(value, str):
        if OPENING in value:
            for match in TOKEN.finditer(value):
                if not match["escape"]:
                    yield match["name"].strip(), path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from references(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references(item, (*path, index))


def mentions(value: object) -> bool:
    """Whether a reference may stand anywhere in `value`, keys included: for most configs all there is to ask."""
    waiting: list[object] = [value]
    for item in waiting:
        if isinstance(item, str):
            if OPENING in item:
                return True
        elif isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
    return False


def holds_secret(value: object) -> bool:
    """Whether `value` refers to a secret, anywhere inside."""
    return next(references(value), None) is not None


def out_of_place(path: ConfigPath, *, why: str, at: SourceLocation | None = None, on_key: bool = False) -> Finding:
    """What to say of a secret where none can be."""
    message = f"A secret has no place in {f'the key `{path[-1]}`' if on_key else f'`{dotted(path)}`'}: {why}."
    hint = "It goes to a component of your own, as an argument; what may be seen is `${env:NAME}`."
    return Finding(message, "secret out of place", path, at, on_key, hint=hint)


def secret_keys(value: object, path: ConfigPath = ()) -> Iterator[Finding]:
    """A finding for every key in `value` that looks like a reference."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and OPENING in key:
                yield out_of_place((*path, key), why="keys are never evaluated", on_key=True)
            yield from secret_keys(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from secret_keys(item, (*path, index))


def guarded(text: str) -> str:
    """Literal text as it stands in resolved data."""
    return text.replace(OPENING, "$" + OPENING) if OPENING in text else text


def joined(pieces: Sequence[str]) -> str:
    """Resolved strings as one. A reference that would only come about where two of them meet is escaped.

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
