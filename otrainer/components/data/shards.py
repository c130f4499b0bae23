"""dataset.shards: samples from many files, of which a few are open at a time; sampler.shards orders them so."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from otrainer.components.data.columns import column_of, field_of, plain
from otrainer.components.data.table_files import needs_pyarrow, read_one, read_parquet
from otrainer.components.data.text_lines import Lines
from otrainer.errors import ConfigError, check_whole, nearest


class ShardsDataset:
    """Samples of many files, `.jsonl`, `.parquet` or `.pt`, one file's after the other's; in no order of its own.

    `path` is a list of files or one. A line of .jsonl is a sample, as is a row of .parquet; a .pt file has a list of
    samples or a mapping of tensors with one first dimension, and is mapped into memory. Numbers and lists of such are
    tensors, float32 where they are no whole numbers; `fields` picks some of a sample. At most `open_files` are open at
    a time in each process, so draw by `sampler.shards`, which goes from file to file. Raises ConfigError for files that
    are missing or damaged, with the line of one that is no JSON.
    """

    def __init__(self, path: str | Sequence[str], fields: Sequence[str] | None = None, open_files: int = 8) -> None:
        paths = [path] if isinstance(path, str | os.PathLike) else path
        if (
            not isinstance(paths, Sequence)
            or not all(isinstance(each, str | os.PathLike) for each in paths)
            or not paths
        ):
            raise ValueError(f"path is a file or a list of files, not {path!r}")
        check_whole("open_files", open_files)
        self.paths, self.fields, self.open_files = [os.fspath(each) for each in paths], fields, open_files
        for each in self.paths:
            if Path(each).suffix not in OPENERS:
                raise ValueError(f"path names files that end in {', '.join(OPENERS)}, not {each!r}")
        self._ends: list[int] | None = None
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def files(self) -> list[str]:
        """Return the files whose content is the data."""
        return self.paths

    def check(self) -> None:
        """Open each file, and read the first sample."""
        if len(self):
            self[0]

    @property
    def ends(self) -> list[int]:
        """How many samples there are up to the end of each file."""
        if self._ends is None:
            self._ends = list(accumulate(len(self._shard(number)) for number in range(len(self.paths))))
        return self._ends

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = self.shard_of([index])[0]
        sample = self._shard(number)[index - ([0, *self.ends])[number]]
        return {name: as_tensor(value) for name, value in self._picked(sample, self.paths[number]).items()}

    def _picked(self, sample: Any, path: str) -> Mapping[str, Any]:
        if not isinstance(sample, Mapping):
            message, hint = f"A sample of `{path}` is of type `{type(sample).__name__}`.", "Save samples as mappings."
            raise ConfigError(message, title="unreadable data file", config_path=("data",), hint=hint)
        for field in self.fields or ():
            if field not in sample:
                message = f"A sample of `{path}` has no field `{field}`; it has {', '.join(map(str, sample))}."
                near, hint = nearest(field, map(str, sample)), "Pick fields that all samples have."
                raise ConfigError(message, title="unknown field", config_path=("data",), suggestions=near, hint=hint)
        return sample if self.fields is None else {field: sample[field] for field in self.fields}

    def shard_of(self, indices: Sequence[int]) -> list[int]:
        """Return the number of each sample's file."""
        ends = torch.tensor(self.ends)
        return list(torch.searchsorted(ends, torch.tensor(list(indices)), right=True).tolist())

    def column(self, field: str) -> list[Any]:
        """Return the number of each sample's file as `shard`; for another field every sample is read."""
        if field == "shard":
            return self.shard_of(range(len(self)))
        return [plain(field_of(self[index], field, index)) for index in range(len(self))]

    def _shard(self, number: int) -> Shard:
        if number not in self._open:
            path = self.paths[number]
            self._open[number] = OPENERS[Path(path).suffix](path)
            if len(self._open) > self.open_files:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": OrderedDict()}


class ShardSampler:
    """Go through files in a random order, `mix` of them at a time, whose samples are shuffled among one another.

    `by` is the field with the number of each sample's file. Every sample comes once an epoch.
    """

    def __init__(self, mix: int = 4, by: str = "shard") -> None:
        check_whole("mix", mix)
        self.mix, self.by = mix, by
        self.shards = torch.empty(0, dtype=torch.int64)

    def prepare(self, dataset: Any) -> None:
        self.shards = torch.tensor(column_of(dataset, self.by), dtype=torch.int64)

    def order(self, samples: int, *, epoch: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
        count = int(self.shards.max()) + 1
        turns = torch.randperm(count, generator=generator) // self.mix
        shuffled = torch.randperm(samples, generator=generator)
        return shuffled[turns[self.shards[shuffled]].argsort(stable=True)]


class Shard:
    """The samples of one open file, by `read(row)`."""

    def __init__(self, length: int, read: Callable[[int], Any]) -> None:
        self.length, self.read = length, read

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, row: int) -> Any:
        return self.read(row)


def open_jsonl(path: str) -> Shard:
    lines = Lines([path], skip_empty=True)

    def read(row: int) -> Any:
        try:
            return json.loads(bytes(lines[row].tolist()))
        except ValueError as cause:
            message, hint = (
                f"Line {lines.place(row)[1]} of `{path}` is no JSON: {cause}.",
                "Save each sample in a line.",
            )
            raise ConfigError(message, title="unreadable data file", config_path=("data",), hint=hint) from cause

    return Shard(len(lines), read)


def open_parquet(path: str) -> Shard:
    with needs_pyarrow(path):
        table = read_one(path, None, read_parquet)
    return Shard(len(table), lambda row: table.slice(row, 1).to_pylist()[0])


def open_pt(path: str) -> Shard:
    if not Path(path).is_file():
        message, hint = f"There is no data file `{path}`.", "Relative paths start from the project's folder."
        raise ConfigError(message, title="data file not found", hint=hint)
    try:
        content = torch.load(path, mmap=True, weights_only=True)
    except Exception as cause:
        message, hint = f"`{path}` cannot be read as tensors: {cause}.", "Save plain tensors by `torch.save`."
        raise ConfigError(message, title="unreadable data file", hint=hint) from cause
    if isinstance(content, list):
        return Shard(len(content), content.__getitem__)
    lengths = {len(each) for each in content.values()} if isinstance(content, dict) else set()
    if len(lengths) != 1:
        message = f"`{path}` has neither a list of samples nor a mapping of tensors with one first dimension."
        raise ConfigError(message, title="unreadable data file", hint="Save one of these by `torch.save`.")
    return Shard(lengths.pop(), lambda row: {name: each[row] for name, each in content.items()})


OPENERS: dict[str, Callable[[str], Shard]] = {".jsonl": open_jsonl, ".parquet": open_parquet, ".pt": open_pt}


def as_tensor(value: Any) -> Any:
    """Return numbers and lists of numbers as tensors of their own, and anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, bool | int | float | list):
        try:
            return torch.tensor(value)
        except (TypeError, ValueError, RuntimeError):  # a list of other things
            return value
    return value
