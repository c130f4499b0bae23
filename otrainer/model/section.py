"""Reading a section of plain data: what is there in the right form is used, and all the rest becomes findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from otrainer.config.findings import Findings
from otrainer.config.kinds import kind_of
from otrainer.config.limits import limits_in_force
from otrainer.errors import ConfigPath, Finding

LISTED = 20


class Report:
    """The findings of one compilation, in the order in which they are met."""

    def __init__(self) -> None:
        self.findings = Findings(limits_in_force().mistakes)

    def add(
        self,
        message: str,
        path: ConfigPath,
        *,
        title: str,
        key: bool = False,
        near: Sequence[str] = (),
        hint: str = "",
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
                hint = f"It may have {', '.join(known)}."
                near = self.near(str(name), known)
                self.add(
                    f"{what} has no key `{name}`.", (*path, name), title="unknown key", key=True, near=near, hint=hint
                )

    def required(self, section: Mapping[Any, Any], keys: Sequence[str], path: ConfigPath, *, what: str) -> bool:
        """Return whether all `keys` are there, with a finding for each that is missing."""
        missing = [name for name in keys if name not in section]
        for name in missing:
            self.add(f"{what} needs `{name}`.", path, title="missing key", hint=f"Add `{name}: ...`.")
        return not missing


def listed(names: Collection[str]) -> str:
    """List names for a hint: all of them where they are few."""
    shown = ", ".join(islice(names, LISTED))
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED:,} more"
