"""Collect findings up to a number that people can read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import islice

from otrainer.config.limits import limits_in_force
from otrainer.errors import Finding, nearest

EFFORT = 4_000_000  # pairs of letters to compare, at some 100 ns each where names are alike


class Findings(list[Finding]):
    """Up to `most` findings; those beyond are only counted, and looking for near names stops after a while."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.unlisted = 0
        self.effort = EFFORT

    @property
    def is_full(self) -> bool:
        return len(self) >= self.most

    def append(self, finding: Finding) -> None:
        if not self.is_full:
            super().append(finding)
        else:
            self.unlisted += 1

    def extend(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.append(finding)

    def near(self, name: str, choices: Collection[str]) -> tuple[str, ...]:
        """Return the nearest of `choices` while the effort for that lasts."""
        if self.effort <= 0 or self.is_full:
            return ()
        self.effort -= len(choices) * (10 + len(name) ** 2)
        return nearest(name, choices)

    def all(self) -> list[Finding]:
        """Return the findings, and a last one that counts those which are not listed."""
        if not self.unlisted:
            return list(self)
        one = "There is one more mistake like these, which is not listed."
        many = f"There are {self.unlisted:,} more mistakes like these, which are not listed."
        return [*self, beyond(self[-1], one if self.unlisted == 1 else many)]


def limit_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Take as many findings as one step may report; those beyond are not even looked for."""
    most = limits_in_force().mistakes
    found = list(islice(findings, most + 1))
    if len(found) > most:
        found[-1] = beyond(found[-1], "More mistakes like these follow, which are not listed.")
    return found


def beyond(last: Finding, message: str) -> Finding:
    hint = "Mend those that are listed, and run the same command again."
    return replace(last, message=message, title="too many mistakes", suggestions=(), hint=hint, related=())
