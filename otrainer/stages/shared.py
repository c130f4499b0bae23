"""The manifest that is one for all experiments with the same plugins: made once a process, and shared by links."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from typing import TYPE_CHECKING

from otrainer.stages.built import PLUGINS, record_path
from otrainer.storage import process_memory
from otrainer.storage.atomic import link_atomic, write_changed
from otrainer.storage.experiments import BUILD
from otrainer.storage.project import display_path
from otrainer.storage.records import SHARED, Record
from otrainer.storage.regular import read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment

MANIFESTS = BUILD / SHARED


def shared_manifest(experiment: Experiment, root: Path) -> Experiment:
    """Return what stands for all experiments with the plugins and settings of this one: its `build` has the manifest.

    Raises OSError where `resolve` has not left those.
    """
    plugins = read_regular(root / experiment.built(PLUGINS))
    return experiment._replace(build=folder_for(hashlib.sha256(plugins).hexdigest()[:16]))


@cache
def folder_for(plugins: str) -> Path:
    return MANIFESTS / plugins


def is_made(shared: Experiment, root: Path) -> bool:
    """Return whether a shared manifest was made, or seen to be current, for this process."""
    return (root, shared.build) in left_here()


def note_made(shared: Experiment, root: Path) -> None:
    """Remember which files the stage left as a shared manifest.

    Raises OSError where its record is not there, ValueError where that is damaged.
    """
    record = record_path("manifest", shared, root)
    left_here()[root, shared.build] = [*Record.read(record).outputs, display_path(record, root)]


def share_made(shared: Experiment, experiment: Experiment, root: Path) -> None:
    """Let an experiment have those files among its own: by links, or by copies where the disk knows no links."""
    folder = os.path.join(root, experiment.build)  # noqa: PTH118 - a thousand experiments may share them
    for name in left_here()[root, shared.build]:
        link = os.path.join(folder, os.path.basename(name))  # noqa: PTH118, PTH119
        try:
            link_atomic(link, os.path.relpath(os.path.join(root, name), folder))  # noqa: PTH118
        except OSError:
            write_changed(link, (root / name).read_bytes(), durable=False)


def left_here() -> dict[tuple[Path, Path], list[str]]:
    """Return the files of each manifest that was made for this process, record last, by the root and their folders."""
    return process_memory.get("manifests", dict)
