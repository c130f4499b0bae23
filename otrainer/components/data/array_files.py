"""Array files by their rows: .npy, .npz and .safetensors, without reading more than is asked for where possible."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from otrainer.engine.checkpoint.file_format import LOCAL_HEADER, data_start
from otrainer.errors import ConfigError, nearest


class Rows:
    """Rows of an array: numpy's, mapped or loaded, or a tensor that is a view of a mapped file."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return int(self._array.shape[0]) if self._array.ndim else 0

    def rows(self, indices: Sequence[int]) -> torch.Tensor:
        """Return a tensor of its own with the rows at `indices`, in native byte order."""
        if isinstance(self._array, torch.Tensor):
            return self._array[torch.tensor(list(indices), dtype=torch.int64)]
        rows = self._array[list(indices)]
        return torch.from_numpy(rows.astype(rows.dtype.newbyteorder("="), copy=False))

    def example(self, count: int) -> torch.Tensor:
        """So many rows without numbers."""
        return torch.empty(count, *self._array.shape[1:], dtype=self.rows([]).dtype, device="meta")


def open_arrays(path: Path) -> dict[str, Rows]:
    """Open every array in a file by name (a .npy file's is `x`); raises ConfigError where it cannot be read as such."""
    if not path.is_file():
        there = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        message, hint = f"There is no data file `{path}`.", "Relative paths start from the project's folder."
        near = nearest(path.name, there)
        raise ConfigError(message, title="data file not found", suggestions=near, hint=hint)
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

    return {"x": Rows(np.load(path, mmap_mode="r", allow_pickle=False))}


def open_npz(path: Path) -> dict[str, Rows]:
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if all(member.compress_type == zipfile.ZIP_STORED for member in members):
        return {member.filename.removesuffix(".npy"): Rows(map_member(path, member)) for member in members}
    with np.load(path, allow_pickle=False) as arrays:
        return {name: Rows(arrays[name]) for name in arrays.files}


def map_member(path: Path, info: zipfile.ZipInfo) -> Any:
    """Return an uncompressed .npy member of a zip file, mapped where it lies."""
    import numpy as np
    from numpy.lib import format as npy

    with path.open("rb") as file:
        file.seek(info.header_offset)
        file.seek(data_start(file.read(LOCAL_HEADER.size), info))
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
        message = f"Reading `{path}` needs the package safetensors, which is not installed."
        hint = "Run `pip install 'otrainer[data]'`."
        raise ConfigError(message, title="safetensors is not installed", hint=hint) from cause
    try:
        file: Any = safe_open(path, framework="pt")
        # Views of the mapping, whose pages are read when they are touched.
        return {name: Rows(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping, it has keys() alone
    except SafetensorError as cause:
        raise ValueError(str(cause)) from cause


OPENERS: dict[str, Callable[[Path], dict[str, Rows]]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".safetensors": open_safetensors,
}
