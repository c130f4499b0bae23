"""Show each mistake of one run of doit once, with all the experiments that it was seen from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otrainer.errors import ordered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.errors import Finding


class Deduplicator:
    """Collects findings; one that was shown is shown again in a line only, where other experiments have it too."""

    def __init__(self) -> None:
        self._found: dict[Finding, Finding] = {}
        self._shown: dict[Finding, int] = {}

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

    def take_new(self) -> tuple[list[Finding], list[tuple[Finding, tuple[str, ...]]]]:
        """Return new findings, and earlier ones with the experiments added to them; mark all as shown."""
        fresh, repeated = [], []
        for finding in self.all():
            shown = self._shown.get(mistake := bare(finding))
            if shown is None:
                fresh.append(finding)
            elif shown < len(finding.experiments):
                repeated.append((finding, finding.experiments[shown:]))
            self._shown[mistake] = len(finding.experiments)
        return fresh, repeated


def bare(finding: Finding) -> Finding:
    """Return a finding without the ways that led to it."""
    return replace(finding, includes=(), doing="", experiments=())
