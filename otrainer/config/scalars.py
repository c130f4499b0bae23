"""Read a scalar's text by the YAML 1.2 core schema and its tags."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otrainer.config.nodes import Plain

WORDS: dict[str, Plain] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
WORD_STARTS = frozenset(["", *"~nNtTfF"])
NUMBER_STARTS = frozenset("+-.0123456789")
NOT_PLAIN = WORD_STARTS | NUMBER_STARTS
MAX_KEY = 1_024  # YAML's own limit for keys that are not marked by `?` (1.2.2, section 7.4.2)
MAX_DIGITS = 1_000  # Python refuses to convert some 4,300 decimal digits; nobody writes a thousand on purpose

INTEGER = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
NUMERIC = re.compile(r"[-+]?[0-9.]+|0[ox][0-9a-fA-F]+")
NOT_A_NUMBER = re.compile(r"\.(nan|NaN|NAN)")

CORE = "tag:yaml.org,2002:"
TAGS = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}


def plain_value(text: str) -> Plain:
    """Return the value of an unquoted scalar.

    Raises ValueError where a number is longer than MAX_DIGITS.
    """
    first = text[:1]
    if first not in NOT_PLAIN:
        return text
    if first in WORD_STARTS:
        return WORDS.get(text, text)
    return number(text)


def number(text: str) -> Plain:
    """Return the number that `text` is, or `text` itself. Raises ValueError where it is longer than MAX_DIGITS."""
    if len(text) > MAX_DIGITS and NUMERIC.fullmatch(text):
        raise ValueError(text)
    if (text.isdecimal() and text.isascii()) or INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if OCTAL.fullmatch(text):
        return int(text, 8)
    if HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if match := INFINITE.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return math.nan if NOT_A_NUMBER.fullmatch(text) else text


def tagged_value(tag: str, text: str) -> Plain:
    """Return the value of `text` under a core tag given by its short name, such as `int`.

    Raises ValueError where the text does not fit the tag.
    """
    if tag == "str":
        return text
    value = plain_value(text)
    if tag == "float" and type(value) is int:
        return as_float(value)
    if type(value) is not TAGS[tag]:
        raise ValueError(text)
    return value


def as_float(value: int) -> float:
    """Return the nearest float; infinity where there is none, as for decimal digits with a point."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def as_text(value: Plain) -> str:
    """Return a value inside a longer string, written so that YAML reads the same value back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return str(value)
