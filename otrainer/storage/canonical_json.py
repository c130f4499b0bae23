"""JSON files whose bytes depend on their content alone: the form of all artifacts and records."""

from __future__ import annotations

import hashlib
import json
import math
import re
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]  # typeshed has it not
from typing import TYPE_CHECKING, Any

from otrainer.storage.atomic import write_changed
from otrainer.storage.regular import read_regular

if TYPE_CHECKING:
    from _typeshed import StrPath

LEVELS = 2
# Without an indent, it is written in C.
ENCODE = json.JSONEncoder(ensure_ascii=False).encode
STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
# What `STRICT.encode` makes anew each time, which takes longer than most of the values.
WRITE = c_make_encoder(None, STRICT.default, encode_basestring, None, ": ", ", ", False, False, False)
# The same as short as it can be, with `NaN` and `Infinity` as Python's own reader takes them.
WRITE_COMPACT = c_make_encoder(None, STRICT.default, encode_basestring, None, ":", ",", False, False, True)
# What stands for infinities while they are written: characters that nobody's text has, around the number.
MARKS = {math.inf: "\ue0001e999\ue000", -math.inf: "\ue000-1e999\ue000"}
MARKED = re.compile('"\ue000(-?1e999)\ue000"')
# Beyond what any file of ours has, a file is no such file: values take some hundred times the memory of their text.
MOST_VALUES = 1 << 24
MOST_LEVELS = 1_010
TOO_DEEP = "it is nested too deeply"
# What stands in a file for NaN, for which JSON has no number.
NAN = "\ue000.nan\ue000"


def canonical_json(data: object) -> bytes:
    """Return `data` as readable UTF-8 JSON, keys in their own order, a line a key in two levels, with a final newline.

    Raises TypeError for what JSON cannot hold. Infinities are 1e999, a number that each reader takes for one; NaN is a
    text, between two characters that no other text has, which `from_json` takes for it.
    """
    return encode(f"{lines_of(data, LEVELS)}\n")


def lines_of(data: object, levels: int, margin: str = "\n") -> str:
    """JSON whose mappings have a line a key down to `levels`; below, json's own C code is ten times as fast."""
    if not levels or not isinstance(data, dict) or not data or not all(isinstance(key, str) for key in data):
        return text_of(data)
    inner = f"{margin} "
    rows = (f"{encode_basestring(key)}: {lines_of(item, levels - 1, inner)}" for key, item in data.items())
    return f"{{{inner}{f',{inner}'.join(rows)}{margin}}}"


def text_of(data: object) -> str:
    """Return `data` as JSON in one line."""
    try:
        return "".join(WRITE(data, 0))
    except ValueError:  # a float that is not finite
        return MARKED.sub(r"\1", ENCODE(marked(data)))


def marked(data: object) -> object:
    if isinstance(data, float):
        return NAN if math.isnan(data) else MARKS.get(data, data)
    if isinstance(data, dict):
        return {key: marked(item) for key, item in data.items()}
    return [marked(item) for item in data] if isinstance(data, list | tuple) else data


def digest(data: object) -> str:
    """Return the sha256 of `data` as compact JSON, in hex; the order of keys counts."""
    return hashlib.sha256(encode("".join(WRITE_COMPACT(data, 0)))).hexdigest()


def encode(text: str) -> bytes:
    # A lone surrogate has no UTF-8 form; written with a backslash it is the JSON escape for itself.
    return text.encode("utf-8", "backslashreplace")


def read_json(path: StrPath) -> Any:
    """Read `path`. Raises OSError where it cannot be read, ValueError where it is not JSON in UTF-8 of a sensible size.

    Neither a pipe or a device in its place, nor how large or deep it is, keeps anybody waiting or takes the memory.
    """
    return from_json(read_regular(path))


def from_json(content: bytes) -> Any:
    """Return what `canonical_json` was given. Raises ValueError for what is not JSON in UTF-8, or nobody's to read."""
    if len(content) > MOST_VALUES and sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError("it holds too many values")
    try:
        data = json.loads(content)
        if content.count(b"[") + content.count(b"{") > MOST_LEVELS and levels_of(data) > MOST_LEVELS:
            raise ValueError(TOO_DEEP)
        return with_nan(data) if NAN.encode() in content else data
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except MemoryError as error:
        raise ValueError("it holds more than fits into the memory") from error


def levels_of(data: object) -> int:
    """Count the levels of lists and mappings in each other, without going down on the stack."""
    level, count = [data], 0
    while inside := [each for each in level if isinstance(each, dict | list)]:
        level = [item for each in inside for item in (each.values() if isinstance(each, dict) else each)]
        count += 1
    return count


def with_nan(data: object) -> object:
    if isinstance(data, dict):
        return {key: with_nan(item) for key, item in data.items()}
    if isinstance(data, list):
        return [with_nan(item) for item in data]
    return math.nan if data == NAN else data


def write_json(path: StrPath, data: object, *, durable: bool = True) -> bool:
    """Write `data` to `path` unless it already holds these bytes; says whether it was written."""
    return write_changed(path, canonical_json(data), durable=durable)
