"""How a stage ended, as it travels from the process that ran it to the one that reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.errors import Finding

Status = Literal["ok", "failed", "crashed", "interrupted"]


class Outcome(NamedTuple):
    """`findings` tell of a failure, `report` is a closing word or nothing; `exit_code` is the shell's.

    A stage fails over mistakes in the user's files; it crashes where code raises anything else, or its process dies.
    """

    status: Status = "ok"
    report: str = ""
    exit_code: int = 0
    findings: tuple[Finding, ...] = ()

    @classmethod
    def failed(cls, findings: Iterable[Finding]) -> Outcome:
        """Return a failure, with the mistakes."""
        return cls("failed", "", 1, tuple(findings))

    @classmethod
    def crashed(cls, finding: Finding) -> Outcome:
        """Return a crash, with what is known of it."""
        return cls("crashed", "", 1, (finding,))

    @property
    def drawn(self) -> str:
        """Return what there is to read: the report, or the findings as plain text."""
        from otrainer.diagnostics.drawing import draw_all

        return draw_all(self.findings) if self.findings else self.report

    def to_json(self) -> dict[str, Any]:
        from otrainer.diagnostics.serialize import to_plain

        return {**self._asdict(), "findings": [to_plain(finding) for finding in self.findings]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        from otrainer.diagnostics.serialize import from_plain

        return cls(**{**data, "findings": tuple(from_plain(finding) for finding in data["findings"])})
