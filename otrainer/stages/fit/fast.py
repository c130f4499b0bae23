"""`run.fast`: two batches go through all that a run does, in a folder that is gone afterwards."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.loggers import StdoutLogger
from otrainer.errors import ConfigError
from otrainer.stages.fit.compose import composed, settings_of
from otrainer.stages.fit.relocated import relocate
from otrainer.stages.fit.summary import bare, number
from otrainer.stages.plan import Plan

if TYPE_CHECKING:
    from otrainer.config import SourceMap
    from otrainer.engine.state import Progress

log = logging.getLogger("otrainer")
BATCHES = 2
# What cuts a trainer short: a step with each batch, and whatever comes at an epoch's end.
CUT = {
    "max_epochs": 1, "max_steps": None, "max_time": None, "train_batches": BATCHES, "val_batches": BATCHES,
    "val_every_n_epochs": 1, "val_every_n_steps": None, "val_every_n_minutes": None,
    "log_every_n_steps": 1, "log_every_n_epochs": None, "log_every_n_minutes": None,
    "grad_accum_steps": 1, "accumulate": None,
}  # fmt: skip


def is_fast(plan: Plan) -> bool:
    """Return whether a plan only tries the experiment out."""
    return bool(plan.config["run"].get("fast"))


def try_fast(plan: Plan, root: Path, places: SourceMap | None) -> tuple[Progress, str]:
    """Train and validate two batches, save a checkpoint, and keep nothing; return how far it came, and words for it.

    Raises ConfigError where the trainer cannot be cut short, and what the components raise.
    """
    began = time.monotonic()
    (root / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fast-", dir=root / "build", ignore_cleanup_errors=True) as folder:
        moved = Plan.from_json(relocate(plan.to_json(), Path(folder)))
        with composed(moved, places) as whole, without_lengths():
            cut(whole.trainer)
            loggers = [each for each in whole.parts.loggers if isinstance(each, StdoutLogger)]
            run = settings_of(moved)
            whole.fit(run, loggers=loggers)
    return run.progress, worded(plan, run.progress, time.monotonic() - began)


def cut(trainer: Any) -> None:
    """Let a trainer take two batches; raise ConfigError for one that has no `train_batches`."""
    if not hasattr(trainer, "train_batches"):
        raise ConfigError(
            f"`{type(trainer).__qualname__}` has no `train_batches`, by which `run.fast` cuts training short.",
            title="cannot be cut short",
            config_path=("run", "fast"),
            hint="Extend `otrainer.engine.trainer.DefaultTrainer`, or leave `fast` out.",
        )
    for name, value in CUT.items():
        if hasattr(trainer, name):
            setattr(trainer, name, value)


@contextmanager
def without_lengths() -> Iterator[None]:
    """Leave out warnings of schedules that are longer than the few steps: they are of the whole run."""

    def passes(record: logging.LogRecord) -> bool:
        return "scheduler: " not in record.getMessage()

    log.addFilter(passes)
    try:
        yield
    finally:
        log.removeFilter(passes)


def worded(plan: Plan, progress: Progress, seconds: float) -> str:
    values = ", ".join(f"{bare(name)} {number(value)}" for name, value in progress.metrics.items())
    words = (
        f"{plan.name}: tried out in {progress.state.global_step} steps, {seconds:.1f} s; no run is written (`run.fast`)"
    )
    return f"{words}\n  on validation data: {values}" if values else words
