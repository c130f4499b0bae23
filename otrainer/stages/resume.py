"""The stage `resume`: go on from the last checkpoint under the config as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.stages.fit.stage import trained
from otrainer.stages.fit.start import resumed_start

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.stages.outcome import Outcome
    from otrainer.storage.experiments import Experiment


def resume(experiment: Experiment, root: Path) -> Outcome:
    """Go on from the run's last checkpoint, under the config as it is now."""
    return trained(experiment, root, resumed_start)
