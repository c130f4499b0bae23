"""What was asked on the command line: the experiments meant, and the variables set."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.tasks.experiments import Experiment


class Question(NamedTuple):
    """`experiments` are those that EXP names, in order; `variables` all that were set, as text."""

    root: Path
    experiments: tuple[Experiment, ...]
    variables: Mapping[str, str]
