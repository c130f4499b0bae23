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
DECIMAL = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?(?![\w.+-])")
NOT_A_NUMBER = re.compile(r"\.(nan|NaN|NAN)")

CORE = "tag:yaml.org,2002:"
TAGS = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}


def plain_value(text: str) -> Plain:
    """Return the value of an unquoted scalar.

    Raises ValueError where a number is longer than MAX_DIGITS, or is too large for a float.
    """
    first = text[:1]
    if first not in NOT_PLAIN:
        return text
    if first in WORD_STARTS:
        return WORDS.get(text, text)
    return number(text)


def number(text: str) -> Plain:
    """Return the number that `text` is, or `text` itself. Raises ValueError as `plain_value` does."""
    if len(text) > MAX_DIGITS and NUMERIC.fullmatch(text):
        raise ValueError(text)
    if (text.isdecimal() and text.isascii()) or INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return finite(float(text))
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
    """Return the nearest float. Raises ValueError where there is none."""
    try:
        return float(value)
    except OverflowError:
        raise ValueError(value) from None


def finite(value: float) -> float:
    """Return a float that was read from digits. Raises ValueError where these say more than a float holds."""
    if math.isinf(value):
        raise ValueError(value)
    return value


def overflows(text: str) -> bool:
    """Return whether `text` is a number too large for a float, and not just longer than any that is read."""
    too_long = len(text) > MAX_DIGITS and NUMERIC.fullmatch(text) is not None
    return not too_long and FLOAT.fullmatch(text) is not None and math.isinf(float(text))


def as_written(text: str, at: int, value: Plain) -> str | None:
    """Return the decimal number at an index of `text` as it stands there (`1.10`, `0012`), if that is `value`."""
    match = DECIMAL.match(text, at) if type(value) in (int, float) else None
    return match[0] if match and len(match[0]) <= MAX_DIGITS and plain_value(match[0]) == value else None


def as_text(value: Plain) -> str:
    """Return a value inside a longer string, written so that YAML reads the same value back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return str(value)
