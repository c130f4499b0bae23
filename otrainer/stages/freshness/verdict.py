"""What is foretold of a stage."""

from __future__ import annotations

from dataclasses import dataclass, field

UP_TO_DATE, RUNS, FAILS, UNTOLD = "up to date", "would run", "would fail", "cannot be told"


@dataclass
class Verdict:
    """What would become of a stage, in words; the reasons, and what else there is to say.

    `more` is where all reasons are found if they are too many to be shown.
    """

    word: str = UP_TO_DATE
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: str = ""

    @classmethod
    def by(cls, reasons: list[str]) -> Verdict:
        """That of a stage that runs if there is any reason."""
        return cls(RUNS if reasons else UP_TO_DATE, reasons)
