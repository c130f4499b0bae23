"""JSON files whose bytes depend on their content alone: the form of all artifacts and records."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from otrainer.storage.atomic import write_changed

if TYPE_CHECKING:
    from _typeshed import StrPath

LEVELS = 2
# Without an indent, it is written in C.
ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def canonical_json(data: object) -> bytes:
    """Return `data` as readable UTF-8 JSON, keys in their own order, a line a key in two levels, with a final newline.

    Raises TypeError for what JSON cannot hold; infinities and NaN are written as Python's json reads them.
    """
    return encode(f"{lines_of(data, LEVELS)}\n")


def lines_of(data: object, levels: int, margin: str = "\n") -> str:
    """JSON whose mappings have a line a key down to `levels`; below, json's own C code is ten times as fast."""
    if not levels or not isinstance(data, dict) or not data or not all(isinstance(key, str) for key in data):
        return ENCODE(data)
    inner = f"{margin} "
    rows = (f"{ENCODE(key)}: {lines_of(item, levels - 1, inner)}" for key, item in data.items())
    return f"{{{inner}{f',{inner}'.join(rows)}{margin}}}"


def digest(data: object) -> str:
    """Return the sha256 of `data` as compact JSON, in hex; the order of keys counts."""
    return hashlib.sha256(encode(json.dumps(data, ensure_ascii=False, separators=(",", ":")))).hexdigest()


def encode(text: str) -> bytes:
    # A lone surrogate has no UTF-8 form; written with a backslash it is the JSON escape for itself.
    return text.encode("utf-8", "backslashreplace")


def read_json(path: StrPath) -> Any:
    """Read `path`. Raises OSError where it cannot be read, ValueError where it is not JSON in UTF-8."""
    with open(path, "rb") as stream:
        return json.loads(stream.read())


def write_json(path: StrPath, data: object, *, durable: bool = True) -> bool:
    """Write `data` to `path` unless it already holds these bytes; says whether it was written."""
    return write_changed(path, canonical_json(data), durable=durable)
