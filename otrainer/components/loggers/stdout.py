"""log.stdout: lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otrainer.errors import check_whole
from otrainer.storage.lasting_streams import say


class StdoutLogger:
    """Print a line a row; of the training rows only those of every `every_n_steps`-th step (null: all that come).

    A run that is shorter than that prints its last training row all the same, before a row of another kind.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        check_whole("every_n_steps", every_n_steps, optional=True)
        self.every_n_steps = every_n_steps
        self._left_out: str | None = None
        self._has_printed = False

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int, stage: str) -> None:
        values = "  ".join(f"{name} {shown(value)}" for name, value in metrics.items())
        line = f"step {step:>6}  {stage:<7}  {values}"
        if stage == "train" and self.every_n_steps is not None and step % self.every_n_steps != 0:
            self._left_out = line
            return
        if stage != "train":
            self._catch_up()
        self._has_printed |= stage == "train"
        say(line)

    def close(self) -> None:
        self._catch_up()

    def _catch_up(self) -> None:
        """Print the last training row if none was printed so far."""
        if self._left_out is not None and not self._has_printed:
            self._has_printed = True
            say(self._left_out)

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
