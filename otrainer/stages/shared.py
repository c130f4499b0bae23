"""The manifest that is one for all experiments with the same plugins: made once a process, and shared by links."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from otrainer.stages.built import record_path, shared_manifest
from otrainer.storage import process_memory
from otrainer.storage.atomic import link_atomic, write_changed
from otrainer.storage.project import display_path
from otrainer.storage.records import Record

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


def is_made(experiment: Experiment, root: Path) -> bool:
    """Return whether the manifest for an experiment's plugins was made, or seen to be current, for this process."""
    with suppress(OSError):  # which the stage says
        return root / shared_manifest(experiment, root).build in left_here()
    return False


def note_made(experiment: Experiment, root: Path) -> None:
    """Remember which files the stage left for an experiment's plugins.

    Raises OSError where its record is not there, ValueError where that is damaged.
    """
    shared = shared_manifest(experiment, root)
    record = record_path("manifest", shared, root)
    left_here()[root / shared.build] = [*Record.read(record).outputs, display_path(record, root)]


def share_made(experiment: Experiment, root: Path) -> None:
    """Let an experiment have those files among its own: by links, or by copies where the disk knows no links."""
    folder = os.path.join(root, experiment.build)  # noqa: PTH118 - a thousand experiments may share them
    for name in left_here()[root / shared_manifest(experiment, root).build]:
        link = os.path.join(folder, os.path.basename(name))  # noqa: PTH118, PTH119
        try:
            link_atomic(link, os.path.relpath(os.path.join(root, name), folder))  # noqa: PTH118
        except OSError:
            write_changed(link, (root / name).read_bytes(), durable=False)


def left_here() -> dict[Path, list[str]]:
    """Return the files of each manifest that was made for this process, record last, by their folders."""
    return process_memory.get("manifests", dict)
