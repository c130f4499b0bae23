"""The findings of one run of doit: each mistake once, with all the experiments that it was seen from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otrainer.errors import ordered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.errors import Finding


class Gathered:
    """Findings as they come in; what was told once is told again in a line only, where others have it too."""

    def __init__(self) -> None:
        self._found: dict[Finding, Finding] = {}
        self._told: dict[Finding, int] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings in; the same mistake seen from another experiment is the same finding."""
        for finding in findings:
            mistake = bare(finding)
            known = self._found.setdefault(mistake, finding)
            names = dict.fromkeys([*known.experiments, *finding.experiments])
            self._found[mistake] = replace(known, experiments=tuple(names))

    def all(self) -> list[Finding]:
        """Return all findings, by file and line."""
        return ordered(self._found.values())

    def news(self) -> tuple[list[Finding], list[tuple[Finding, tuple[str, ...]]]]:
        """Return new findings, and earlier ones with the experiments added to them; mark all as shown."""
        fresh, repeated = [], []
        for finding in self.all():
            told = self._told.get(mistake := bare(finding))
            if told is None:
                fresh.append(finding)
            elif told < len(finding.experiments):
                repeated.append((finding, finding.experiments[told:]))
            self._told[mistake] = len(finding.experiments)
        return fresh, repeated


def bare(finding: Finding) -> Finding:
    """Return a finding without the ways that led to it."""
    return replace(finding, includes=(), doing="", experiments=())
