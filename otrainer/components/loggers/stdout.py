"""log.stdout: lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otrainer.diagnostics.say import in_a_line, say
from otrainer.errors import check_whole


class StdoutLogger:
    """Print a line a row; of the training rows only those of every `every_n_steps`-th step (null: all that come).

    Where none of them came since the last row of another kind, the last training row is printed before the next one,
    and at the end: so an epoch that is shorter than that has one too.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        check_whole("every_n_steps", every_n_steps, optional=True)
        self.every_n_steps = every_n_steps
        self._left_out: str | None = None
        self._has_printed = False

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int, stage: str) -> None:
        values = "  ".join(f"{name} {shown(value)}" for name, value in metrics.items())
        line = in_a_line(f"step {step:>6}  {stage:<7}  {values}")
        if stage == "train" and self.every_n_steps is not None and step % self.every_n_steps != 0:
            self._left_out = line
            return
        if stage != "train":
            self._catch_up()
        self._has_printed, self._left_out = stage == "train", None
        say(line)

    def close(self) -> None:
        self._catch_up()

    def _catch_up(self) -> None:
        """Print the training row that was left out last, if none was printed since the last row of another kind."""
        if self._left_out is not None and not self._has_printed:
            say(self._left_out)
        self._left_out = None

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: what was not printed yet is no matter of training."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin anew."""


def shown(value: Any) -> str:
    """Return a number with four digits, an integer and all else as it is."""
    try:
        return str(value) if isinstance(value, int | str | None) else f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
