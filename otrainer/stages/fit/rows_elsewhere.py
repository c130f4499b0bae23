"""Rows in files outside of the run's folder: those of an attempt that saved nothing go.

That is as soon as an earlier run has its place again; where the attempt was killed, when its run begins anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.loggers import JsonLinesLogger
from otrainer.storage.runs.run_json import is_of, read_run_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def rows_of_attempt(kept: Path | None, definition: str) -> Mapping[str, int]:
    """Return where the rows begin of an attempt at this very run that was moved aside and has nothing to go on from.

    It lay in the run's place until now, so that no other run of this folder has added rows behind them.
    """
    run = None if kept is None else read_run_or_none(kept)
    is_attempt = run is not None and is_of(run, definition) and run["state"] != "complete" and not run["outputs"]
    return run.get("rows", {}) if run is not None and is_attempt else {}


def begin_rows(loggers: Sequence[Any], run_dir: Path, attempt: Mapping[str, int]) -> dict[str, int]:
    """Return where this run's rows begin in files outside of its folder, by their paths from there.

    Those of an `attempt` are dropped as soon as the loggers know the run, whose own rows alone go.
    """
    begin = {}
    for logger, name in elsewhere(loggers, run_dir):
        if name in attempt:
            logger.load_state_dict({"bytes": attempt[name]})
        begin[name] = attempt[name] if name in attempt else size_of(logger.path)
    return begin


def withdraw_rows(attempt: Path, run_dir: Path, out_dir: str) -> None:
    """Drop the rows of an `attempt` that gave the folder of its run back to an earlier one, whose rows say the same."""
    for name, start in (read_run_or_none(attempt) or {}).get("rows", {}).items():
        path = Path(os.path.normpath(run_dir.resolve() / name))
        if path.is_file():
            logger = JsonLinesLogger(str(path))
            logger.load_state_dict({"bytes": start})
            logger.log_hparams({"run": {"out_dir": out_dir}})
            logger.close()


def elsewhere(loggers: Sequence[Any], run_dir: Path) -> Iterator[tuple[JsonLinesLogger, str]]:
    folder = run_dir.resolve()
    for logger in loggers:
        if isinstance(logger, JsonLinesLogger) and not (path := logger.path.resolve()).is_relative_to(folder):
            yield logger, os.path.relpath(path, folder)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
