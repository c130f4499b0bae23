"""Which names a model's inputs, modules and values may have."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from otrainer.config.kinds import kind_of
from otrainer.errors import ConfigPath, Finding
from otrainer.model.generated import GeneratedModel

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = {"self", "forward", "__debug__"}
GLOBALS = {"torch", "getattr", "inf", "nan", "device", "NoneType", "fx_pytree", "pytree"}
ATTRIBUTES = frozenset(dir(GeneratedModel())) | frozenset(GeneratedModel.__annotations__)


def check_name(name: object, role: str, path: ConfigPath, *, on_key: bool = False) -> Iterator[Finding]:
    """Yield why `name` cannot be the name of an input, a module or a value (`role`), if it cannot."""
    wrong = problem_with(name, role)
    if wrong is not None:
        shown, article = f"`{name}`" if isinstance(name, str) else repr(name), "an" if role[0] in "aeiou" else "a"
        message = f"{shown} cannot name {article} {role}: {wrong.message}."
        yield Finding(message, "invalid name", path, on_key=on_key, hint=wrong.hint)


def problem_with(name: object, role: str) -> Finding | None:
    """Return what is wrong with a name, in half a sentence, and how to put it right."""
    if not isinstance(name, str):
        return Finding(f"a name is a string, not {kind_of(name)}", hint="Write a word, or put it in quotes.")
    if not NAME.fullmatch(name):
        return Finding("it is no identifier", hint="Use letters, digits and `_`, and begin with no digit.")
    if keyword.iskeyword(name):
        return Finding("it is a word of the Python language", hint=f"Write `{name}_`, say.")
    if name in RESERVED or (role == "input" and name in GLOBALS):
        return Finding("the generated code uses it itself", hint=f"Write `{name}_`, say.")
    if role == "module" and name in ATTRIBUTES:
        return Finding("every model has an attribute of this name already", hint=f"Write `{name}_`, say.")
    return None
