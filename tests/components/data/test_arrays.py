"""dataset.arrays reads array files by their rows, and says what is wrong with those that it cannot."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from otrainer.components.data.arrays import ArraysDataset
from otrainer.errors import ConfigError

X = np.arange(60, dtype="float32").reshape(20, 3)
Y = np.arange(20)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.savez(tmp_path / "stored.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "packed.npz", x=X, y=Y)
    np.savez(tmp_path / "fortran.npz", x=np.asfortranarray(X), y=Y.astype(">i8"))
    save_file({"x": torch.tensor(X), "y": torch.tensor(Y)}, tmp_path / "tensors.safetensors")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


@pytest.mark.parametrize("name", ["stored.npz", "packed.npz", "fortran.npz", "tensors.safetensors"])
def test_a_file_of_several_arrays_gives_samples_by_field(files: Path, name: str) -> None:
    dataset = ArraysDataset(str(files / name))

    assert len(dataset) == 20
    assert {field: value.tolist() for field, value in dataset[4].items()} == {"x": [12.0, 13.0, 14.0], "y": 4}
    batch = dataset.batch([7, 0, 7])
    assert batch["x"].tolist() == X[[7, 0, 7]].tolist()
    assert batch["y"].tolist() == [7, 0, 7]
    assert batch["y"].dtype == torch.int64


def test_npy_files_are_fields_by_themselves_or_under_a_name(files: Path) -> None:
    assert list(ArraysDataset(str(files / "x.npy"))[2]) == ["x"]
    named = ArraysDataset({"image": str(files / "x.npy"), "label": str(files / "y.npy")})

    assert named[3]["image"].tolist() == X[3].tolist()
    assert named.files() == [str(files / "x.npy"), str(files / "y.npy")]


def test_fields_pick_arrays(files: Path) -> None:
    assert list(ArraysDataset(str(files / "stored.npz"), fields=["y"])[0]) == ["y"]


def test_samples_are_tensors_of_their_own_so_that_changing_one_changes_no_data(files: Path) -> None:
    dataset = ArraysDataset(str(files / "stored.npz"))
    dataset[0]["x"].zero_()
    dataset.batch([1])["x"].zero_()

    assert dataset[0]["x"].tolist() == X[0].tolist()
    assert dataset[1]["x"].tolist() == X[1].tolist()


@pytest.mark.parametrize("name", ["stored.npz", "x.npy", "tensors.safetensors"])
def test_a_large_file_is_mapped_not_read(tmp_path: Path, name: str) -> None:
    """Opening 200 MB and reading one row of it takes a fraction of that in memory."""
    array = np.zeros((50_000, 1000), dtype="float32")
    path = tmp_path / name
    if name.endswith(".npz"):
        np.savez(path, x=array)
    elif name.endswith(".npy"):
        np.save(path, array)
    else:
        save_file({"x": torch.from_numpy(array)}, path)
    del array

    before = anonymous_memory()
    dataset = ArraysDataset(str(path))
    assert dataset[49_999]["x"].shape == (1000,)
    assert anonymous_memory() - before < 20_000_000


def anonymous_memory() -> int:
    """Bytes of this process's memory that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def test_a_dataset_goes_to_another_process_without_its_data(files: Path) -> None:
    dataset = ArraysDataset(str(files / "packed.npz"))
    assert len(dataset) == 20
    sent = pickle.dumps(dataset)

    assert len(sent) < 500
    assert pickle.loads(sent)[1]["y"] == 1  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": "absent.npz"}, "no data file"),
        ({"path": "notes.txt"}, r"is none of .npy, .npz, .safetensors"),
        ({"path": "broken.npz"}, "cannot be read as arrays"),
        ({"path": "objects.npy"}, "cannot be read as arrays"),
        ({"path": "objects.npz"}, "Python objects"),
        ({"path": "stored.npz", "fields": ["z"]}, "no field `z`"),
        ({"path": "uneven.npz"}, "`x` 3, `y` 2"),
    ],
)
def test_what_cannot_be_read_is_told(files: Path, arguments: dict[str, Any], words: str) -> None:
    (files / "notes.txt").write_text("no array")
    (files / "broken.npz").write_bytes((files / "stored.npz").read_bytes()[:100])
    np.save(files / "objects.npy", np.array([{}, []], dtype=object))
    np.savez(files / "objects.npz", x=np.array([{}, []], dtype=object))
    np.savez(files / "uneven.npz", x=np.zeros(3), y=np.zeros(2))

    with pytest.raises(ConfigError, match=words):
        len(ArraysDataset(**{**arguments, "path": str(files / arguments["path"])}))


@pytest.mark.parametrize("name", ["stored.npz", "packed.npz", "fortran.npz", "tensors.safetensors", "x.npy"])
def test_a_batch_is_declared_by_its_shapes_and_types(files: Path, name: str) -> None:
    dataset = ArraysDataset(str(files / name))
    real, declared = dataset.batch(range(6)), dataset.example_batch(6)

    assert {field: (each.shape, each.dtype) for field, each in declared.items()} == {
        field: (each.shape, each.dtype) for field, each in real.items()
    }
    assert all(each.is_meta for each in declared.values())
    assert dataset.example_batch(50)["x"].shape == (20, 3)
