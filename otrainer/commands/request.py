"""What was asked on the command line: the experiments meant, and the variables set."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otrainer.stages.outcome import Outcome
    from otrainer.storage.experiments import Experiment


class Question(NamedTuple):
    """`experiments` are those that EXP names, in order; `variables` all that were set, as text.

    `ask` runs a stage in a process that may import torch.
    """

    root: Path
    experiments: tuple[Experiment, ...]
    variables: Mapping[str, str]
    ask: Callable[[str, Experiment], Outcome]
