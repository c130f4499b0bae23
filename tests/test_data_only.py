"""Checkpoints, data and artifacts are read as data: nothing in them is run, whoever wrote them."""

from __future__ import annotations

import pickle
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from incremental.steps import edit
from trained import A, ask, copy, forget_plugins, inside

from otrainer.components.data.array_files import open_arrays
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.file_format import write_container
from otrainer.errors import ConfigError
from otrainer.stages.load_model import load_model
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.state import StateDB
from otrainer.tasks.worker.table import run_stage


class Evil:
    """Leaves a file called `ran` in the working directory when it is loaded as an object."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("ran", "w")


PICKLE = pickle.dumps(Evil())


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A trained project as the working directory, in which nothing has run what it should not at the end."""
    folder = copy(original, tmp_path / "project")
    with inside(folder):
        yield folder
        assert not (folder / "ran").exists()


def test_the_pickle_does_run_where_it_is_loaded_as_an_object(root: Path) -> None:
    pickle.loads(PICKLE).close()  # noqa: S301 - it is what it claims to be
    assert (root / "ran").exists()
    (root / "ran").unlink()


def sealed(path: Path) -> Path:
    """A checkpoint whose every byte is as it was written, with an object in it that runs when it is loaded."""
    with path.open("w+b") as stream:
        write_container(stream, {"model": Evil()})
    return path


def test_a_checkpoint_is_loaded_as_data_or_not_at_all(root: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded as data"):
        load_checkpoint(sealed(root / "evil.pt"))
    torch.save({"model": Evil()}, root / "torch.pt")
    (root / "bare.pt").write_bytes(PICKLE)
    for name in ("torch.pt", "bare.pt"):
        with pytest.raises(ConfigError, match="is damaged"):
            load_checkpoint(root / name)


def test_neither_resuming_nor_continuing_nor_validating_nor_using_a_model_runs_it(root: Path) -> None:
    sealed(root / "evil.pt")
    (root / "runs/a/checkpoints/last.pt").write_bytes((root / "evil.pt").read_bytes())
    with pytest.raises(ConfigError, match="cannot be loaded as data"):
        load_model(root / "runs/a")
    edit("runs/a/run.json", '"state": "complete"', '"state": "interrupted"')(root)
    for stage in ("fit", "resume"):
        with pytest.raises(ConfigError, match="cannot be loaded as data"):
            run_stage(stage, find_experiment("a", root), root=root)
    edit(A, "run: {", "run: {resume_from: evil.pt, ")(root)
    run_stage("resolve", find_experiment("a", root), root=root)
    with pytest.raises(ConfigError, match="cannot be loaded as data") as caught:
        run_stage("validate", find_experiment("a", root), root=root)
    assert caught.value.config_path == ("run", "resume_from")


@pytest.mark.parametrize(
    "kind", ["npy", "stored npz", "compressed npz", "npz with a pickle", "pt", "pkl", "npy that is a pickle"]
)
def test_data_files_with_objects_are_refused(root: Path, kind: str) -> None:
    objects, path = np.array([Evil()], dtype=object), root / f"data.{kind.split()[-1]}"
    if kind == "npy":
        np.save(path, objects, allow_pickle=True)
    elif kind == "stored npz":
        np.savez(path, x=objects)
    elif kind == "compressed npz":
        np.savez_compressed(path, x=objects)
    elif kind == "npz with a pickle":
        path = root / "data.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", PICKLE)
    else:
        path = root / "data.npy" if kind.startswith("npy") else path
        path.write_bytes(PICKLE)
    with pytest.raises(ConfigError):
        rows = open_arrays(path)
        next(iter(rows.values())).rows([0])


def test_no_file_below_build_is_more_than_data(root: Path) -> None:
    """Each of them in turn is a pickle: it is made again, or told to be damaged."""
    names = sorted(path.relative_to(root) for path in (root / "build").rglob("*") if path.is_file())
    assert {"resolved.json", "manifest.json", "validated.json", "fit.json"} <= {name.name for name in names}
    kept = {name: (root / name).read_bytes() for name in names}
    for name in names:
        (root / name).write_bytes(PICKLE)
        assert ask("why", root, "a").status == "ok"
        for stage in ("manifest", "validate", "fit"):
            try:
                run_stage(stage, find_experiment("a", root), root=root)
            except ConfigError as error:
                assert error.findings[0].title == "damaged artifact"  # which doit finds altered, and makes again before
        forget_plugins()
        for path, content in kept.items():
            (root / path).write_bytes(content)


def test_doits_own_state_is_json(root: Path) -> None:
    from doit.dependency import JSONCodec

    state = StateDB(str(root / "build/.doit.db"), codec=JSONCodec())
    state.set("fit:a", "x", 1)
    state.dump()
    with sqlite3.connect(root / "build/.doit.db") as connection:
        assert [row[0] for row in connection.execute("select task_data from doit")] == ['{"x": 1}']
        connection.execute("update doit set task_data = ?", [PICKLE])
    assert StateDB(str(root / "build/.doit.db"), codec=JSONCodec()).get("fit:a", "x") is None
    (root / "build/.doit.db").unlink()
