"""Parse strings with `${...}` to their literal parts and expressions."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from otrainer.config.text import shortened
from otrainer.errors import ConfigPath, nearest

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SIMPLE = re.compile(r"\$\{([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)\}")  # most references: they need no careful reading
KEY = r"[^.\[\]\s](?:[^.\[\]]*[^.\[\]\s])?"
STEP = re.compile(rf"(?:(?:^|(?!^)\.)\s*+(?P<key>{KEY})|\[\s*(?P<index>[0-9]{{1,9}})\s*\])\s*+(?=[.\[]|$)")
JSON_DEFAULT = re.compile(r"\s*env\s*:\s*json\s*:[^,{}]*,\s*")
BRACES = re.compile(r"[{}]")
BLANKS = re.compile(r"\s*")
CASTS: Final = ("int", "float", "bool", "json")
DECODER = json.JSONDecoder()


class Reference(NamedTuple):
    """`${a.b[0]}`; `start` is where it stands in the string, `text` what stands there."""

    path: ConfigPath
    start: int
    text: str


class Variable(NamedTuple):
    """`${env:CAST:NAME,DEFAULT}`; `cast` is empty for a string, `default` is None where there is none."""

    name: str
    cast: str
    default: str | None
    start: int
    text: str


class Secret(NamedTuple):
    """`${secret:NAME}`."""

    name: str
    start: int
    text: str


class Malformed(NamedTuple):
    """An expression that means nothing, and why."""

    message: str
    hint: str
    start: int
    text: str
    suggestions: tuple[str, ...] = ()


Expression: TypeAlias = Reference | Variable | Secret | Malformed
Part: TypeAlias = str | Expression


class MalformedError(ValueError):
    """Why an expression means nothing: a sentence, the next step, and names that may have been meant."""

    def __init__(self, message: str, hint: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.suggestions = suggestions


@lru_cache(maxsize=4096)
def parse_text(text: str) -> tuple[Part, ...]:
    """Literal strings and expressions in the order of `text`; `$${` is the literal `${`."""
    parts: list[Part] = []
    literal, position = "", 0
    while (start := text.find("${", position)) >= 0:
        if start > position and text[start - 1] == "$":
            literal += text[position : start - 1] + "${"
            position = start + 2
            continue
        literal += text[position:start]
        if literal:
            parts.append(literal)
        literal = ""
        if simple := SIMPLE.match(text, start):
            parts.append(Reference(tuple(simple[1].split(".")), start, simple[0]))
            position = simple.end()
            continue
        end = expression_end(text, start)
        parts.append(parse_expression(text, start, end))
        position = len(text) if end is None else end
    literal += text[position:]
    return (*parts, literal) if literal else tuple(parts)


def expression_end(text: str, start: int) -> int | None:
    """Return the position after the `}` that closes the expression at `start`, or None where nothing does."""
    if default := JSON_DEFAULT.match(text, start + 2):
        end = json_end(text, default.end())
        if end is not None:
            return end
    depth = 0
    for brace in BRACES.finditer(text, start):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.end()
    return None


def json_end(text: str, start: int) -> int | None:
    """Return the position after the `}` that follows the JSON value at `start`, or None where no value stands there."""
    try:
        _, end = DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    end = BLANKS.match(text, end).end()  # type: ignore[union-attr]  # it matches the empty string
    return end + 1 if text[end : end + 1] == "}" else None


def parse_expression(text: str, start: int, end: int | None) -> Expression:
    """Return the expression between `start` and `end`."""
    shown = text[start:end]
    if end is None:
        message = f"`{shortened(shown)}` is never closed."
        return Malformed(message, "Add the missing `}`, or write `$${` for the characters `${`.", start, shown)
    try:
        return read_expression(shown[2:-1].strip(), start, shown)
    except MalformedError as error:
        return Malformed(str(error), error.hint, start, shown, error.suggestions)


def read_expression(inner: str, start: int, shown: str) -> Expression:
    """Return the expression whose braces hold `inner`. Raises MalformedError."""
    if "${" in inner:
        message = f"`{shortened(shown)}` holds another `${{`; expressions do not nest."
        raise MalformedError(message, "Give the inner part a key of its own and refer to that.")
    scheme, colon, rest = inner.partition(":")
    scheme = scheme.strip()
    if not colon or set(scheme) & set(".[],"):
        return Reference(parse_path(inner, shown), start, shown)
    if scheme == "env":
        return parse_variable(rest, start, shown)
    if scheme == "secret":
        return parse_secret(rest.strip(), start, shown)
    message = f"`{shortened(shown)}` asks for `{scheme}:`, which does not exist."
    hint = "Write `${env:NAME}`, `${secret:NAME}` or the path of a value."
    raise MalformedError(message, hint, nearest(scheme, ("env", "secret")))


def parse_variable(rest: str, start: int, shown: str) -> Variable:
    head, comma, default = rest.partition(",")
    *casts, name = (part.strip() for part in head.split(":"))
    if len(casts) > 1 or (casts and casts[0] not in CASTS):
        message = f"`{shortened(shown)}` asks for the cast `{':'.join(casts)}`, which does not exist."
        raise MalformedError(message, "The casts are `int`, `float`, `bool` and `json`.", nearest(casts[0], CASTS))
    check_name(name, shown)
    return Variable(name, casts[0] if casts else "", default.strip() if comma else None, start, shown)


def parse_secret(name: str, start: int, shown: str) -> Secret:
    if "," in name or ":" in name:
        message = f"`{shortened(shown)}` holds more than a name; a secret has neither a cast nor a default."
        raise MalformedError(message, "Write `${secret:NAME}`.")
    check_name(name, shown)
    return Secret(name, start, shown)


def check_name(name: str, shown: str) -> None:
    if not NAME.fullmatch(name):
        what = f"`{name}` is no name of a variable" if name else "a variable's name is missing"
        message = f"In `{shortened(shown)}` {what}."
        raise MalformedError(message, "Names are letters, digits and `_`, and do not start with a digit.")


def parse_path(inner: str, shown: str) -> ConfigPath:
    """`a.b[0].c` as a tuple. Raises MalformedError."""
    steps: list[str | int] = []
    position = 0
    while position < len(inner):
        step = STEP.match(inner, position)
        if not step or (step["index"] and not steps) or set(step["key"] or "") & set(",{}:"):
            break
        steps.append(int(step["index"]) if step["index"] else step["key"])
        position = step.end()
    if steps and position == len(inner):
        return tuple(steps)
    if not inner:
        raise MalformedError("`${}` names nothing.", "Write the path of a value, such as `${run.name}`.")
    hint = "Write the keys from the top of the config with dots between them, and a list's index in brackets."
    if "," in inner:
        hint = "Only `${env:NAME,DEFAULT}` takes a default."
    raise MalformedError(f"`{shortened(shown)}` is no path.", f"{hint} An example: `${{data.files[0].name}}`.")
