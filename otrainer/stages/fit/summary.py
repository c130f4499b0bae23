"""The words with which a run ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.say import in_a_line
from otrainer.stages.fit.going_on import checkpoint_callbacks
from otrainer.storage.runs.run_json import LAST

if TYPE_CHECKING:
    from otrainer.stages.fit.run_record import RunRecord


def summary(record: RunRecord) -> str:
    """Describe what a run came to: steps, time, validation values, and where the weights are."""
    lines = [f"{record.plan.name}: {length(record)}{origin(record)}"]
    if record.metrics:
        values = ", ".join(
            f"{in_a_line(bare(name))} {in_a_line(number(value))}" for name, value in record.metrics.items()
        )
        at, now = record.metrics_step, record.steps[0]
        what = "on validation data" if "val_loss" in record.metrics else "metrics"
        lines.append(f"  {what}{'' if at in (None, now) else f' after step {at:,}'}: {values}")
    return "\n".join([*lines, f"  weights: {weights(record)}"])


def length(record: RunRecord) -> str:
    steps, epochs = record.steps
    if steps is None or epochs is None:
        return f"{record.wall_s:.1f} s; how many steps were trained its trainer did not tell"
    return f"{count(epochs, 'epoch')}, {count(steps, 'step')}, {record.wall_s:.1f} s"


def weights(record: RunRecord) -> str:
    """Say where the best and the last weights are, or else the newest, and of which step where that is not now."""
    names = record.outputs()
    if not names:
        asked = any(checkpoint_callbacks(record.plan.config))
        return f"not saved ({'no cb.model_checkpoint wrote any' if asked else 'there is no cb.model_checkpoint'})"
    shown = [name for name in names if Path(name).name.startswith(("best", "last"))]
    if not any(Path(name).name == LAST for name in names):
        shown = list(dict.fromkeys([*shown, names[-1]]))
    told = ", ".join(os.path.normpath(f"{record.directory.display}/{name}") for name in shown)
    newest, now = (record.progress.saved or record.steps)[0], record.steps[0]
    return told if newest in (None, now) else f"{told} (the newest is of step {newest:,})"


def origin(record: RunRecord) -> str:
    """Describe where the child of another run came from."""
    parent = record.lineage.get("parent")
    return f", continued from {parent[:8]} at step {record.lineage['global_step']:,}" if parent else ""


def bare(name: str) -> str:
    """Return `val_accuracy` as `accuracy`."""
    return name.removeprefix("val_").removeprefix("val/")


def number(value: Any) -> str:
    """Return a value with four decimals where they say enough, with four digits elsewhere; integers as they are."""
    if isinstance(value, int) or not isinstance(value, float):
        return "not finite" if value is None else str(value)
    return f"{value:.4f}" if 1e-2 <= abs(value) < 1e4 else f"{value:.4g}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
