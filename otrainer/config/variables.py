"""Evaluate `${env:...}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from otrainer.config.credentials import credential_in
from otrainer.config.nodes import Node, Scalar, mapping_of, sequence_of
from otrainer.config.scalars import FLOAT, MAX_DIGITS, MAX_KEY, as_float, finite, number, overflows
from otrainer.config.secrets import guarded
from otrainer.config.text import shortened
from otrainer.errors import nearest

if TYPE_CHECKING:
    from otrainer.config.budget import Budget
    from otrainer.config.expressions import Variable
    from otrainer.config.reads import Recorder

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
ADMITTED = {
    "int": "a whole number such as `8`, `-3` or `0x10`",
    "float": "a number such as `0.1` or `1e-3`",
    "bool": "one of true/false, 1/0, yes/no, on/off",
    "json": "JSON",
}
STEPS_PER_COLLECTION = 4  # it takes as much time and memory as so many scalars
SIGNED_INTEGER = re.compile(r"([-+]?)([0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)")


class VariableError(ValueError):
    """Why a variable gives no value: a title, a sentence, the next step, and names that may have been meant."""

    def __init__(self, title: str, message: str, hint: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.title = title
        self.hint = hint
        self.suggestions = suggestions


def variable_value(variable: Variable, recorder: Recorder, node: Node, budget: Budget) -> Node:
    """Return a node of the variable's value, or of its default where it is not set.

    Raises VariableError, and ConfigError where what it gives comes to more than a config may hold.
    """
    refuse_credential(variable.name)
    raw = recorder.variable(variable.name)
    if raw is None and variable.default is None:
        example = f"`export {variable.name}=...`"
        default = f"${{env:{variable.cast}{':' if variable.cast else ''}{variable.name},VALUE}}"
        raise VariableError(
            "missing variable",
            f"The environment variable `{variable.name}` is not set.",
            f"Set it ({example}), or give a default: `{default}`.",
            nearest(variable.name, recorder.environ),
        )
    text = (variable.default or "") if raw is None else raw
    budget.write(len(text), node)
    if not variable.cast:
        return Scalar(guarded(text)).placed(node)
    whose = f"The {'default' if raw is None else 'value'} of `{variable.name}`"
    text = text.strip()
    hint = f"`{variable.cast}` takes {ADMITTED[variable.cast]}."
    if not text:
        raise VariableError("blank variable", f"{whose} is blank, and `{variable.cast}` needs a value.", hint)
    try:
        return NodeMaker(node, budget).make(CASTS[variable.cast](text))
    except (ValueError, RecursionError):
        if overflows(text):
            message = f"{whose} is `{shortened(text)}`, a number too large for a float."
            large = f"Set a smaller one{', or `inf`' if variable.cast == 'float' else ''}; text needs no cast."
            raise VariableError("number too large", message, large) from None
        message = f"{whose} is `{shortened(text)}`, which is no `{variable.cast}`."
        raise VariableError("value does not fit its cast", message, hint) from None


def refuse_credential(name: str) -> None:
    """Raise VariableError for a name by which the value is none to be written down."""
    if word := credential_in(name):
        message = f"By its name (`{word}`) the environment variable `{name}` holds a credential."
        hint = f"Write `${{secret:{name}}}`, which is written down nowhere; what may be seen needs another name."
        raise VariableError("credential in the open", message, hint)


def to_int(text: str) -> int:
    match = SIGNED_INTEGER.fullmatch(text)
    if not match or len(text) > MAX_DIGITS:
        raise ValueError(text)
    digits = match[2]
    value = int(digits, 16) if digits[1:2] == "x" else int(digits, 8) if digits[1:2] == "o" else int(digits)
    return -value if match[1] == "-" else value


def to_float(text: str) -> float:
    bare = text.lower().lstrip("+-")
    if bare in {"inf", "nan"}:
        return float(text)
    if FLOAT.fullmatch(text):
        return finite(float(text))
    value = number(text)
    if isinstance(value, str) or value is None:
        raise ValueError(text)
    return as_float(value) if isinstance(value, int) else value


def to_bool(text: str) -> bool:
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise ValueError(text)
    return value


def to_json(text: str) -> Json:
    value: Json = json.loads(text, parse_constant=refuse, parse_int=to_int, parse_float=to_float)
    return value


def refuse(constant: str) -> float:
    raise ValueError(constant)


CASTS: dict[str, Callable[[str], Json]] = {"int": to_int, "float": to_float, "bool": to_bool, "json": to_json}


class NodeMaker:
    """Nodes for decoded JSON, all at the place of the expression."""

    def __init__(self, like: Node, budget: Budget) -> None:
        self.like = like
        self.budget = budget

    def make(self, value: Json, depth: int = 0) -> Node:
        """Make the node of `value`. Raises ValueError where it is nested too deep or has a key too long."""
        file, at = self.like.file, self.like.at
        if not isinstance(value, dict | list):
            return Scalar(guarded(value) if isinstance(value, str) else value, file, at)
        self.budget.spend(STEPS_PER_COLLECTION + len(value), self.like)
        if depth >= self.budget.limits.depth:
            raise ValueError
        if isinstance(value, list):
            return sequence_of([self.make(item, depth + 1) for item in value], file, at)
        if any(len(key) > MAX_KEY for key in value):
            raise ValueError
        return mapping_of({key: self.make(item, depth + 1) for key, item in value.items()}, file, at)
