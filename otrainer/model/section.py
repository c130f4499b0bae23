"""Read sections of plain data, and what both ways of writing a model share: all that is wrong becomes findings."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, get_args

from otrainer.config.findings import Findings
from otrainer.config.kinds import kind_of
from otrainer.config.limits import limits_in_force
from otrainer.errors import ConfigPath, Finding, nearest
from otrainer.model.generated import GeneratedModel
from otrainer.model.ir import Returns

LISTED = 20
RETURNS: tuple[Returns, ...] = get_args(Returns)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Taken: by the generated code, for inputs also by what it sees, for modules by what every model has.
RESERVED = {"self", "forward", "__debug__"}
GLOBALS = {"torch", "getattr", "inf", "nan", "device", "NoneType", "fx_pytree", "pytree"}
ATTRIBUTES = frozenset(dir(GeneratedModel())) | frozenset(GeneratedModel.__annotations__)


class Report:
    """The findings of one compilation, in the order in which they are met."""

    def __init__(self) -> None:
        self.findings = Findings(limits_in_force().mistakes)

    def add(
        self, message: str, path: ConfigPath, *, title: str, key: bool = False, near: Sequence[str] = (), hint: str = ""
    ) -> None:
        self.findings.append(Finding(message, title, path, on_key=key, suggestions=tuple(near), hint=hint))

    def near(self, name: str, choices: Collection[str]) -> tuple[str, ...]:
        """Return the nearest of `choices`, as far as that may be looked for."""
        return self.findings.near(name, choices)

    def extend(self, findings: Iterable[Finding]) -> None:
        self.findings.extend(findings)

    def mapping(self, value: object, path: ConfigPath, *, what: str) -> Mapping[Any, Any]:
        """`value` if it is a mapping, else a finding and an empty one."""
        if isinstance(value, Mapping):
            return value
        hint = "Write `key: value` under it."
        self.add(f"{what} is a mapping, not {kind_of(value)}.", path, title="wrong type", hint=hint)
        return {}

    def sequence(self, value: object, path: ConfigPath, *, what: str, hint: str = "") -> Sequence[Any]:
        """`value` if it is a list, else a finding and an empty one."""
        if isinstance(value, list | tuple):
            return value
        hint = hint or "Write `[...]`, or a line with `- ` for each element."
        self.add(f"{what} is a list, not {kind_of(value)}.", path, title="wrong type", hint=hint)
        return ()

    def keys(self, section: Mapping[Any, Any], known: Sequence[str], path: ConfigPath, *, what: str) -> None:
        """Add a finding for every key of `section` that is not known."""
        for name in section:
            if name not in known:
                message, hint = f"{what} has no key `{name}`.", f"It may have {', '.join(known)}."
                near = self.near(str(name), known)
                self.add(message, (*path, name), title="unknown key", key=True, near=near, hint=hint)

    def required(self, section: Mapping[Any, Any], keys: Sequence[str], path: ConfigPath, *, what: str) -> None:
        """Add a finding for each of `keys` that is missing."""
        for name in keys:
            if name not in section:
                self.add(f"{what} needs `{name}`.", path, title="missing key", hint=f"Add `{name}: ...`.")


def listed(names: Collection[str]) -> str:
    """List names for a hint: all of them where they are few."""
    shown = ", ".join(islice(names, LISTED))
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED:,} more"


def read_return(section: Mapping[Any, Any], outputs: int, path: ConfigPath, report: Report) -> Returns | None:
    """Return what `return` asks for, or None where it is left out or wrong."""
    if section.get("return") is None:
        return None
    asked = section["return"]
    found = next((form for form in RETURNS if form == asked), None)
    if found is None:
        near, hint = nearest(str(asked), RETURNS), f"It may be {', '.join(RETURNS)}."
        report.add(f"There is no way to return `{asked}`.", path, title="unknown value", near=near, hint=hint)
    elif found == "single" and outputs > 1:
        message = f"`return: single` cannot hold {outputs} outputs."
        report.add(message, path, title="wrong value", hint="Write `tuple` or `dict`, or name one output.")
        return None
    return found


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
