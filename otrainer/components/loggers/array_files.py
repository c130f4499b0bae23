"""Arrays that metrics compute, in files of a run's folder: one for each validation, by its step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otrainer.storage.atomic import atomic_file
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root
from otrainer.storage.runs.ownership import refuse_links

FOLDER = "arrays"


def write_arrays(out_dir: Path, arrays: Mapping[str, Any], *, step: int, stage: str) -> None:
    """Write `arrays/STAGE-STEP.npz` in the run's folder, as a whole or not at all; a step that comes again replaces it.

    Raises ConfigError where a link is in the way, OSError where it cannot be written.
    """
    import numpy as np  # torchmetrics, which computes them, needs it too

    folder = out_dir / FOLDER
    path = folder / f"{stage}-{step}.npz"
    refuse_links((folder, path), ("loggers",))
    refuse_outside(path, project_root(), ("loggers",))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        np.savez(stream, **arrays)
