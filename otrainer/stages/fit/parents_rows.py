"""Rows of a parent in the files of its child, which go on there from the checkpoint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.loggers import JsonLinesLogger
from otrainer.storage.atomic import atomic_file, is_own_file
from otrainer.storage.inside_project import writes_of
from otrainer.storage.runs.run_json import read_run_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def carry_rows(parent: Path, loggers: Sequence[Any]) -> None:
    """Copy the rows that a kept run wrote into its folder to where the loggers of its child write, one by one.

    The child's loggers know from the checkpoint how many of them are before it, and drop the others.
    """
    own = (logger for logger in loggers if isinstance(logger, JsonLinesLogger))
    for logger, rows in zip(own, rows_of(parent), strict=False):
        if rows is not None and is_own_file(rows) and not os.path.lexists(logger.path):
            with rows.open("rb") as source, atomic_file(logger.path) as target:
                shutil.copyfileobj(source, target)


def rows_of(parent: Path) -> Iterator[Path | None]:
    """Yield where each `log.json_lines` of a kept run wrote; None where that was not in its folder."""
    config = (read_run_or_none(parent) or {}).get("config") or {}
    run_dir = (config.get("run") or {}).get("out_dir") or ""
    for spec in config.get("loggers") or ():
        for path, _ in list(writes_of(spec, ()))[:1] if spec.get("_type_") == "log.json_lines" else ():
            inside = os.path.relpath(path, run_dir)
            yield None if inside.startswith("..") else parent / inside
