"""log.stdout: lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otrainer.errors import check_whole
from otrainer.storage.lasting_streams import say


class StdoutLogger:
    """Print a line a row; of the training rows only those of every `every_n_steps`-th step (null: all that come)."""

    def __init__(self, every_n_steps: int | None = None) -> None:
        check_whole("every_n_steps", every_n_steps, optional=True)
        self.every_n_steps = every_n_steps

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int, stage: str) -> None:
        if stage == "train" and self.every_n_steps is not None and step % self.every_n_steps != 0:
            return
        values = "  ".join(f"{name} {shown(value)}" for name, value in metrics.items())
        say(f"step {step:>6}  {stage:<7}  {values}")


def shown(value: Any) -> str:
    """Return a number with four digits, an integer and all else as it is."""
    try:
        return str(value) if isinstance(value, int | str | None) else f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
