"""Read sections of plain data, and what both ways of writing a model share: all that is wrong becomes findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, get_args

from otrainer.config.findings import Findings
from otrainer.config.kinds import kind_of
from otrainer.config.limits import limits_in_force
from otrainer.errors import ConfigPath, Finding, nearest
from otrainer.model.ir import Returns
from otrainer.model.names import check_name

LISTED = 20
RETURNS: tuple[Returns, ...] = get_args(Returns)


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


def read_inputs(value: object, path: ConfigPath, report: Report) -> tuple[str, ...]:
    """Return the names of a model's inputs, at least one, each once."""
    names = report.sequence(value, path, what="`inputs`", hint=f"Write `[{value}]`." if isinstance(value, str) else "")
    if isinstance(value, list | tuple) and not names:
        report.add("A model needs at least one input.", path, title="missing input", hint="Write `inputs: [x]`.")
    for index, name in enumerate(names):
        wrong = list(check_name(name, "input", (*path, index)))
        report.extend(wrong)
        if not wrong and name in names[:index]:
            place, hint = (*path, index), "Give each input a name of its own."
            report.add(f"The input `{name}` is named twice.", place, title="duplicate name", hint=hint)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


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
