"""In what form the outputs and targets of all samples are kept: numpy's arrays, or rows of a parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.storage.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.engine.predictions import Predictions


def predictions_as(form: str, run_dir: Path) -> Predictions | None:
    """Return what takes the outputs of an evaluation; None where no form is asked for.

    Raises ConfigError where the package that writes it is not installed.
    """
    if form == "npz":
        from otrainer.engine.predictions import Arrays

        try:
            return Arrays()
        except ImportError as cause:
            hint = "Run `pip install numpy`, or leave `PREDICTIONS` out."
            raise ConfigError("Predictions are kept by numpy.", title="numpy is not installed", hint=hint) from cause
    if form == "parquet":
        try:
            from otrainer.stages.evaluate.rows import Rows
        except ImportError as cause:
            message, hint = "Parquet files are written by pyarrow.", "Run `pip install 'otrainer[tabular]'`."
            raise ConfigError(message, title="pyarrow is not installed", hint=hint) from cause
        return Rows(str(run_dir))
    return None


def keep_predictions(run_dir: Path, kept: Predictions, name: str) -> str:
    """Write them under a name in the run's folder, and return it."""
    with atomic_file(run_dir / name) as stream:
        kept.write(stream)
    return name
