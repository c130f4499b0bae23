"""How a stage ended, as it travels from the process that ran it to the one that reports it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Status = Literal["ok", "failed", "crashed", "interrupted"]


class Outcome(NamedTuple):
    """`report` tells of a failure, else it is a closing word or nothing; `exit_code` is the shell's.

    A stage fails over mistakes in the user's files; it crashes where code raises anything else, or its process dies.
    """

    status: Status = "ok"
    report: str = ""
    exit_code: int = 0

    @classmethod
    def failed(cls, report: str) -> Outcome:
        """A failure, with the mistakes drawn."""
        return cls("failed", report, 1)

    @classmethod
    def crashed(cls, report: str) -> Outcome:
        """A crash, with what is known of it."""
        return cls("crashed", report, 1)

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        return cls(**data)
