"""Which names a model's inputs, modules and values may have."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from otrainer.errors import ConfigPath, Finding
from otrainer.model.generated import GeneratedModel
from otrainer.registry.shape import kind

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = {"self", "forward", "__debug__"}
GLOBALS = {"torch", "getattr", "inf", "nan", "device", "NoneType", "fx_pytree", "pytree"}
ATTRIBUTES = frozenset(dir(GeneratedModel())) | frozenset(GeneratedModel.__annotations__)


def check_name(name: object, what: str, path: ConfigPath, *, on_key: bool = False) -> Iterator[Finding]:
    """Why `name` cannot be the name of an input, a module or a value (`what`), if it cannot."""
    problem, hint = problem_with(name, what)
    if problem:
        yield Finding(
            f"{shown(name)} cannot name {article(what)}: {problem}.", "invalid name", path, None, on_key, (), hint
        )


def problem_with(name: object, what: str) -> tuple[str, str]:
    if not isinstance(name, str):
        return f"a name is text, not {kind(name)}", "Write a word, or put it in quotes."
    if not NAME.fullmatch(name):
        return "it is no identifier", "Use letters, digits and `_`, and begin with no digit."
    if keyword.iskeyword(name):
        return "it is a word of the Python language", f"Write `{name}_`, say."
    if name in RESERVED or (what == "input" and name in GLOBALS):
        return "the generated code uses it itself", f"Write `{name}_`, say."
    if what == "module" and name in ATTRIBUTES:
        return "every model has an attribute of this name already", f"Write `{name}_`, say."
    return "", ""


def shown(name: object) -> str:
    return f"`{name}`" if isinstance(name, str) else repr(name)


def article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"
