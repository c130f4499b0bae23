"""collate.pad: batches of samples whose fields have different lengths, filled up to the longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from otrainer.engine.data.collate import Collate, reported
from otrainer.errors import Finding, check_whole


class PadCollate(Collate):
    """Make a batch of samples by torch's rule, once some of their fields are filled up to one length.

    `fields` are `[length, ...]` each, named by a key of the samples, or by a path of keys and indices such as `obs.0`.
    `value` is what they are filled with, a number or a mapping with one by field (default 0). The length is that of the
    longest in the batch, rounded up to `multiple_of`. At most `max_length` are kept of each, the first ones. `side`
    says where they are filled, at the `right` or the `left`. `lengths` adds how much of each is not filled in under
    `FIELD_length`, `[batch]` int64. `mask` adds where that is under `FIELD_mask`, `[batch, length]`. Raises ValueError
    for arguments that do not go together.
    """

    def __init__(
        self,
        fields: Sequence[str],
        value: float | Mapping[str, float] = 0,
        multiple_of: int | None = None,
        max_length: int | None = None,
        lengths: bool = False,
        mask: bool = False,
        side: str = "right",
    ) -> None:
        if isinstance(fields, str) or not fields or not all(isinstance(field, str) for field in fields):
            raise ValueError(f"fields is a list of names, not {fields!r}")
        check_whole("multiple_of", multiple_of, optional=True)
        check_whole("max_length", max_length, optional=True)
        if multiple_of and max_length and max_length % multiple_of:
            raise ValueError(f"max_length {max_length} is no multiple of multiple_of {multiple_of}")
        if side not in ("right", "left"):
            raise ValueError(f"side is right or left, not {side!r}")
        values = value if isinstance(value, Mapping) else dict.fromkeys(fields, value)
        if odd := [field for field in values if field not in fields]:
            raise ValueError(f"value has {odd[0]!r}, which is none of fields")
        if not all(isinstance(each, int | float) for each in values.values()):
            raise ValueError(f"value is a number, or one by field, not {value!r}")
        self.values = {field: values.get(field, 0) for field in fields}
        self.multiple_of, self.max_length = multiple_of or 1, max_length
        self.lengths, self.mask, self.side = lengths, mask, side

    def __call__(self, samples: list[Any], indices: Sequence[int] | None = None) -> Any:
        """Return the batch; in a worker, `Failed` where there is none."""
        names = range(len(samples)) if indices is None else indices
        for field, value in self.values.items():
            path = field.split(".")
            found = [at(sample, path) for sample in samples]
            if flaw := flaw_in(found, field, value, names, adds=self.lengths or self.mask):
                return reported(flaw, numbered=indices is not None)
            added = self._filled([each for _, each in found], path[-1], value)
            samples = [with_fields(sample, path, own) for sample, own in zip(samples, added, strict=True)]
        return super().__call__(samples, indices)

    def _filled(self, given: list[Any], name: str, value: float) -> list[dict[str, torch.Tensor]]:
        """Return for each sample the field of one length, with what is added beside it."""
        rows = [torch.as_tensor(each)[: self.max_length] for each in given]
        longest = max(len(row) for row in rows)
        length = -(-longest // self.multiple_of) * self.multiple_of
        full = next((row for row in rows if len(row)), rows[0])
        return [self._row(row, full, length, name, value) for row in rows]

    def _row(
        self, row: torch.Tensor, like: torch.Tensor, length: int, name: str, value: float
    ) -> dict[str, torch.Tensor]:
        count = len(row)
        shape = (row if count else like).shape[1:]
        whole = torch.full((length, *shape), value, dtype=(row if count else like).dtype)
        part = slice(count) if self.side == "right" else slice(length - count, length)
        if count:
            whole[part] = row
        added = {name: whole}
        if self.lengths:
            added[f"{name}_length"] = torch.tensor(count)
        if self.mask:
            added[f"{name}_mask"] = torch.zeros(length, dtype=torch.bool)
            added[f"{name}_mask"][part] = True
        return added


def at(sample: Any, path: Sequence[str]) -> tuple[Any, Any]:
    """Return what holds a field and the field; None for what is not there."""
    holder, value = None, sample
    for step in path:
        holder = value
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return holder, None
    return holder, value


def flaw_in(
    found: Sequence[tuple[Any, Any]], field: str, value: float, names: Sequence[int], *, adds: bool
) -> Finding | None:
    """Return the first thing for which a field cannot be filled up; None where there is none."""
    for name, (holder, given) in zip(names, found, strict=True):
        if given is None:
            return Finding(f"sample {name} has no `{field}`")
        if adds and not isinstance(holder, Mapping):
            return Finding(f"`{field}` is in no mapping in sample {name}, and lengths or a mask have no place there")
        try:
            row = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError):
            return Finding(f"`{field}` is of type `{type(given).__name__}` in sample {name}, not numbers in a row")
        if row.ndim == 0:
            return Finding(f"`{field}` has no length in sample {name}")
        if len(row) and not holds(row.dtype, value):
            return Finding(f"`{field}` is of {row.dtype} in sample {name}, which cannot hold the value {value}")
    return None


def holds(dtype: torch.dtype, value: float) -> bool:
    """Return whether a number is one of those that a dtype has."""
    if dtype.is_floating_point or dtype.is_complex:
        return True
    if dtype == torch.bool:
        return value in (0, 1)
    return int(value) == value and torch.iinfo(dtype).min <= value <= torch.iinfo(dtype).max


def with_fields(sample: Any, path: Sequence[str], added: Mapping[str, Any]) -> Any:
    """Return a copy of a sample in which a field is another, with others beside it; the sample stays as it is."""
    step = path[0]
    if isinstance(sample, Mapping):
        return {**sample, **added} if len(path) == 1 else {**sample, step: with_fields(sample[step], path[1:], added)}
    items = list(sample)
    index = int(step)
    items[index] = added[step] if len(path) == 1 else with_fields(items[index], path[1:], added)
    # A named tuple takes its items one by one.
    return type(sample)(*items) if hasattr(sample, "_fields") else type(sample)(items)
