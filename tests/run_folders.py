"""Run folders and checkpoints as otrainer leaves them, made without torch."""

from __future__ import annotations

import zipfile
from pathlib import Path

from otrainer.storage.runs import run_json as runs
from otrainer.storage.runs.ownership import measure


def sealed(path: Path, text: str = "") -> Path:
    """A file that ends as a checkpoint does; `text` stands in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", text)
        archive.comment = b"0" * 64
    return path


def made(folder: Path, definition: str, *, state: str = "complete", outputs: tuple[str, ...] = ("last.pt",)) -> Path:
    """A run directory whose outputs hold their run's definition."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in outputs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(definition)
    data = dict.fromkeys(runs.KEYS) | {
        "name": folder.name,
        "state": state,
        "definition": definition,
        "global_step": 4,
        "metrics": {},
        "outputs": measure(folder, outputs),
        "started": f"2026-01-02T03:04:0{len(definition) % 10}Z",
        "lineage": {},
        "versions": {},
        "code": [],
        "data": {},
        "config": {},
    }
    runs.write_run(folder, data | {"schema": 1})
    return folder
