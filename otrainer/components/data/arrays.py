"""dataset.arrays: samples from array files, mapped into memory where the format allows it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.data.array_files import open_arrays
from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch


class ArraysDataset:
    """Samples `{field: array[i]}` of arrays with one length, as tensors.

    `path` is a .npz or .safetensors file (a field per array in it), a .npy file (the field `x`), or a mapping of
    field to .npy file. `fields` picks some. Files are opened on first use: .npy, .safetensors and uncompressed .npz are
    read from disk as they are needed, a compressed .npz is loaded whole. Raises ConfigError for files that are missing
    or no arrays, for unknown fields, and for lengths that differ.
    """

    def __init__(self, path: str | os.PathLike[str] | Mapping[str, str], fields: Sequence[str] | None = None) -> None:
        if isinstance(path, Mapping):
            self.paths = {field: os.fspath(file) for field, file in path.items()}
        else:
            self.paths = {"x" if os.fspath(path).endswith(".npy") else "": os.fspath(path)}
        self.fields = list(fields) if fields is not None else None
        self._arrays: dict[str, Any] | None = None

    def files(self) -> list[str]:
        """Return the files whose content is the data."""
        return list(self.paths.values())

    def check(self) -> None:
        self._opened()

    @property
    def arrays(self) -> dict[str, Any]:
        """The opened arrays by field; each worker process opens its own."""
        if self._arrays is None:
            self._arrays = self._opened()
        return self._arrays

    def _opened(self) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for field, path in self.paths.items():
            found = open_arrays(Path(path))
            arrays.update(found if field == "" else {field: next(iter(found.values()))})
        return same_length(picked(arrays, self.fields), self.files())

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {field: array.rows([index])[0] for field, array in self.arrays.items()}

    def batch(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return the samples at `indices`, already stacked: `{field: [len(indices), ...]}`."""
        return {field: array.rows(indices) for field, array in self.arrays.items()}

    def column(self, field: str) -> torch.Tensor:
        """Return an array as a whole, `[len(self), ...]`."""
        array = picked(self.arrays, [field])[field]
        rows: torch.Tensor = array.rows(range(len(array)))
        return rows

    def example_batch(self, size: int) -> dict[str, torch.Tensor]:
        """Return a batch of at most `size` samples without numbers, by the files' headers: `{field: [size, ...]}`."""
        return {field: array.example(min(size, len(array))) for field, array in self.arrays.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_arrays": None}


def picked(arrays: dict[str, Any], fields: Sequence[str] | None) -> dict[str, Any]:
    if fields is None:
        return arrays
    for field in fields:
        if field not in arrays:
            message = f"The data has no field `{field}`; it has {', '.join(f'`{name}`' for name in arrays)}."
            near, hint = nearest(field, arrays), "Name those of its arrays that make a sample."
            raise ConfigError(message, title="unknown field", config_path=("fields",), suggestions=near, hint=hint)
    return {field: arrays[field] for field in fields}


def same_length(arrays: dict[str, Any], files: Sequence[str]) -> dict[str, Any]:
    lengths = {field: len(array) for field, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"`{field}` {length}" for field, length in lengths.items()) or "no array"
        message = f"The arrays of {', '.join(files)} do not have one length: {listed}."
        hint = "Pick those that belong together with `fields`."
        raise ConfigError(message, title="arrays of different lengths", hint=hint)
    return arrays
