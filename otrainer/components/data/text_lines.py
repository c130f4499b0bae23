"""dataset.text_lines: the lines of text files, mapped into memory and found by where they begin."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from otrainer.errors import ConfigError, check_whole, nearest

NEWLINE = 10
RETURN = 13
CHUNK = 1 << 24  # bytes that are looked through at a time


class TextLinesDataset:
    """Samples `{tokens}`, `[tokens]` int64, of the lines of text files in the order of the files.

    `path` is a file or a list of files, mapped into memory: where lines begin is looked up once, and only what is asked
    for is read. `tokenizer` is a spec of what is called with a line's text, without its end, and returns numbers;
    without one tokens are the line's bytes (UTF-8 as it is in the file). The first `max_length` are kept. `skip_empty`
    leaves out lines with nothing in them. Raises ConfigError for files that are missing or have no line, and with file
    and line where a text is not UTF-8 or a tokenizer returns no row of whole numbers.
    """

    def __init__(
        self,
        path: str | Sequence[str],
        tokenizer: Callable[[str], Any] | None = None,
        max_length: int | None = None,
        skip_empty: bool = True,
    ) -> None:
        paths = [path] if isinstance(path, str | os.PathLike) else path
        if (
            not isinstance(paths, Sequence)
            or not all(isinstance(each, str | os.PathLike) for each in paths)
            or not paths
        ):
            raise ValueError(f"path is a file or a list of files, not {path!r}")
        if tokenizer is not None and not callable(tokenizer):
            raise ValueError(f"tokenizer is a spec of what is called with a text, not {tokenizer!r}")
        check_whole("max_length", max_length, optional=True)
        self.paths, self.tokenizer = [os.fspath(each) for each in paths], tokenizer
        self.max_length, self.skip_empty = max_length, skip_empty
        self._lines: Lines | None = None

    def files(self) -> list[str]:
        """Return the files whose content is the data."""
        return self.paths

    def check(self) -> None:
        self[0]

    @property
    def lines(self) -> Lines:
        """The opened files; each worker process opens its own."""
        if self._lines is None:
            self._lines = Lines(self.paths, skip_empty=self.skip_empty)
        return self._lines

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        line = self.lines[index]
        tokens = line.long() if self.tokenizer is None else self._encoded(self.tokenizer, line, index)
        return {"tokens": tokens[: self.max_length]}

    def _encoded(self, tokenizer: Callable[[str], Any], line: torch.Tensor, index: int) -> torch.Tensor:
        file, number = self.lines.place(index)
        try:
            text = bytes(line.tolist()).decode()
        except UnicodeDecodeError as cause:
            message, hint = f"Line {number} of `{file}` is not UTF-8: {cause}.", "Save the file as UTF-8."
            raise ConfigError(message, title="unreadable data file", hint=hint) from cause
        given = tokenizer(text)
        try:
            tokens = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError) as cause:
            raise no_tokens(given, file, number) from cause
        if tokens.ndim != 1 or (len(tokens) and (tokens.is_floating_point() or tokens.is_complex())):
            raise no_tokens(given, file, number)
        return tokens.long()

    def column(self, field: str) -> list[Any]:
        """Return the number of bytes of each line as `length`, or its `tokens`."""
        if field == "length":
            return list(self.lines.lengths().tolist())
        if field == "tokens":
            return [self[index]["tokens"] for index in range(len(self))]
        message = f"The data has no field `{field}` to go by; it has `length`, `tokens`."
        near, hint = nearest(field, ("length", "tokens")), "Go by one of those."
        raise ConfigError(message, title="unknown field", config_path=("data",), suggestions=near, hint=hint)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lines": None}


class Lines:
    """The lines of several files as bytes, `[bytes]` uint8 each, without what ends them."""

    def __init__(self, paths: Sequence[str], *, skip_empty: bool) -> None:
        self.paths = list(paths)
        self._bytes = [mapped(path) for path in paths]
        tables = [table_of(each, skip_empty=skip_empty) for each in self._bytes]
        self._table = torch.cat(tables)  # [lines, 3]: first byte, the byte after the last one, number in the file
        self._ends = torch.tensor([len(each) for each in tables]).cumsum(0)
        if not len(self):
            message = f"There is no line in {', '.join(f'`{path}`' for path in paths)}."
            hint = "Name files with a sample in each line."
            raise ConfigError(message, title="unreadable data file", hint=hint)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> torch.Tensor:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first, end, _ = self._table[index].tolist()
        return self._bytes[self._file(index)][first:end]

    def _file(self, index: int) -> int:
        return int(torch.searchsorted(self._ends, index, right=True))

    def place(self, index: int) -> tuple[str, int]:
        """Return the file of a line, and its number there from 1 on."""
        return self.paths[self._file(index)], int(self._table[index, 2])

    def lengths(self) -> torch.Tensor:
        """Return the number of bytes of each line, `[lines]`."""
        return self._table[:, 1] - self._table[:, 0]


def mapped(path: str) -> torch.Tensor:
    """Return a file's bytes, `[bytes]` uint8, which are read when they are touched."""
    file = Path(path)
    if not file.is_file():
        there = [other.name for other in file.parent.glob("*")] if file.parent.is_dir() else []
        message, hint = f"There is no data file `{path}`.", "Relative paths start from the project's folder."
        raise ConfigError(message, title="data file not found", suggestions=nearest(file.name, there), hint=hint)
    size = file.stat().st_size
    return (
        torch.from_file(path, shared=False, size=size, dtype=torch.uint8) if size else torch.empty(0, dtype=torch.uint8)
    )


def table_of(content: torch.Tensor, *, skip_empty: bool) -> torch.Tensor:
    """Return where each line begins and ends, and its number from 1 on, `[lines, 3]`; a last one needs no end."""
    found = [(part == NEWLINE).nonzero().flatten() + number * CHUNK for number, part in enumerate(content.split(CHUNK))]
    ends = torch.cat(found) if found else torch.empty(0, dtype=torch.int64)
    if len(content) and content[-1] != NEWLINE:
        ends = torch.cat([ends, torch.tensor([len(content)])])
    firsts = torch.cat([torch.zeros(min(len(ends), 1), dtype=torch.int64), ends[:-1] + 1])
    before = content[(ends - 1).clamp(min=0)] if len(content) else content.long()
    ends = ends - ((before == RETURN) & (ends > firsts)).long()  # of Windows
    table = torch.stack([firsts, ends, torch.arange(1, len(ends) + 1)], 1)
    return table[ends > firsts] if skip_empty else table


def no_tokens(given: Any, file: str, number: int) -> ConfigError:
    message = (
        f"The tokenizer returned {type(given).__name__} for line {number} of `{file}`, not whole numbers in a row."
    )
    hint = "Let it return a list of numbers."
    return ConfigError(message, title="unreadable data file", config_path=("data",), hint=hint)
