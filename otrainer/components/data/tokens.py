"""dataset.tokens: blocks of a long row of tokens, mapped into memory, with each token's next one to be predicted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from otrainer.components.data.array_files import Rows, open_arrays
from otrainer.errors import ConfigError, check_whole


class TokensDataset:
    """Samples `{tokens, targets}` of `block_size` token numbers each, int64: `targets` are the tokens one further on.

    `path` is a .npy file with a row of whole numbers, of which only what is asked for is read. Block i begins at token
    i * `stride` (default: `block_size`, so that none comes twice); a rest without a whole block is left out. Raises
    ConfigError for a file that is missing, no such row, or shorter than a block and one token.
    """

    def __init__(self, path: str, block_size: int, stride: int | None = None) -> None:
        check_whole("block_size", block_size)
        check_whole("stride", stride, optional=True)
        self.path, self.block_size, self.stride = os.fspath(path), block_size, stride or block_size
        self._tokens: Rows | None = None

    def files(self) -> list[str]:
        """Return the file whose content is the data."""
        return [self.path]

    def check(self) -> None:
        self._opened()

    @property
    def tokens(self) -> Rows:
        """The opened file; each worker process opens its own."""
        if self._tokens is None:
            self._tokens = self._opened()
        return self._tokens

    def _opened(self) -> Rows:
        row = next(iter(open_arrays(Path(self.path)).values()))
        example = row.example(1)
        if example.ndim != 1 or example.is_floating_point() or len(row) <= self.block_size:
            message = f"`{self.path}` is not a row of more than {self.block_size} whole numbers."
            hint = "Save the tokens of all texts in one row by `numpy.save`, or take a smaller `block_size`."
            raise ConfigError(message, title="unreadable data file", hint=hint)
        return row

    def __len__(self) -> int:
        return (len(self.tokens) - self.block_size - 1) // self.stride + 1

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = index * self.stride
        block = self.tokens.rows(range(first, first + self.block_size + 1)).long()
        return {"tokens": block[:-1], "targets": block[1:]}

    def example_batch(self, size: int) -> dict[str, torch.Tensor]:
        """Return a batch of at most `size` samples without numbers: `{tokens, targets}`, each `[size, block_size]`."""
        shape: Sequence[int] = (min(size, len(self)), self.block_size)
        return {name: torch.empty(shape, dtype=torch.int64, device="meta") for name in ("tokens", "targets")}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tokens": None}
