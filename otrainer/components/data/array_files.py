"""Array files by their rows: .npy, .npz and .safetensors, without reading more than is asked for where possible."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import torch

from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LOCAL_HEADER = 30  # bytes of a zip member's local header before its name (APPNOTE 4.3.7)


class NumpyRows:
    """Rows of a numpy array, mapped or loaded."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return int(self._array.shape[0]) if self._array.ndim else 0

    def rows(self, indices: Sequence[int]) -> torch.Tensor:
        """Return a tensor of its own with the rows at `indices`, in native byte order."""
        rows = self._array[list(indices)]
        return torch.from_numpy(rows.astype(rows.dtype.newbyteorder("="), copy=False))

    def example(self, count: int) -> torch.Tensor:
        """So many rows without numbers."""
        return torch.empty(count, *self._array.shape[1:], dtype=self.rows([]).dtype, device="meta")


class SafetensorsRows:
    """Rows of a tensor in a mapped .safetensors file."""

    def __init__(self, file: Any, name: str) -> None:
        self._slice = file.get_slice(name)
        self._whole = file.get_tensor(name)  # a view of the mapping; pages are read when they are touched

    def __len__(self) -> int:
        shape = self._slice.get_shape()
        return int(shape[0]) if shape else 0

    def rows(self, indices: Sequence[int]) -> torch.Tensor:
        rows: torch.Tensor = self._whole[torch.tensor(list(indices))]
        return rows

    def example(self, count: int) -> torch.Tensor:
        """So many rows without numbers."""
        return torch.empty(count, *self._whole.shape[1:], dtype=self._whole.dtype, device="meta")


Rows = NumpyRows | SafetensorsRows


def open_arrays(path: Path) -> dict[str, Rows]:
    """Open every array in a file by name (a .npy file's is `x`); raises ConfigError where it cannot be read as such."""
    if not path.is_file():
        raise ConfigError(
            f"There is no data file `{path}`.",
            title="data file not found",
            suggestions=nearest(
                path.name, [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
            ),
            hint="Relative paths start from the project's folder.",
        )
    opener = OPENERS.get(path.suffix)
    if opener is None:
        message = f"`{path}` is none of {', '.join(OPENERS)}."
        hint = "Save the arrays by `numpy.savez` or `safetensors`."
        raise ConfigError(message, title="unknown data format", suggestions=nearest(path.suffix, OPENERS), hint=hint)
    try:
        return opener(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError) as cause:
        message, hint = f"`{path}` cannot be read as arrays: {cause}.", "Save the file anew, or name another."
        raise ConfigError(message, title="unreadable data file", hint=hint) from cause


def open_npy(path: Path) -> dict[str, Rows]:
    import numpy as np

    return {"x": NumpyRows(np.load(path, mmap_mode="r", allow_pickle=False))}


def open_npz(path: Path) -> dict[str, Rows]:
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        if stored:
            return {
                info.filename.removesuffix(".npy"): NumpyRows(map_member(path, info)) for info in archive.infolist()
            }
    with np.load(path, allow_pickle=False) as arrays:
        return {name: NumpyRows(arrays[name]) for name in arrays.files}


def map_member(path: Path, info: zipfile.ZipInfo) -> Any:
    """Return an uncompressed .npy member of a zip file, mapped where it lies."""
    import numpy as np
    from numpy.lib import format as npy

    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(LOCAL_HEADER)
        name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        file.seek(name + extra, 1)
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"`{info.filename}` holds Python objects, which are not loaded")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def open_safetensors(path: Path) -> dict[str, Rows]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as cause:
        raise ConfigError(
            f"Reading `{path}` needs the package safetensors, which is not installed.",
            title="safetensors is not installed",
            hint="Run `pip install 'otrainer[data]'`.",
        ) from cause
    try:
        file: Any = safe_open(path, framework="pt")
        return {name: SafetensorsRows(file, name) for name in file.keys()}  # noqa: SIM118 - no mapping, it has keys() alone
    except SafetensorError as cause:
        raise ValueError(str(cause)) from cause


OPENERS: dict[str, Callable[[Path], dict[str, Rows]]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".safetensors": open_safetensors,
}
