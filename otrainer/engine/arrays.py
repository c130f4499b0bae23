"""What metrics compute that is more than a number: matrices and curves, which are kept as arrays beside the rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch


@dataclass(frozen=True)
class Array:
    """A value of a metric that is not logged as a number: `values` is a tensor, or what torch makes one of."""

    values: Any

    def tensor(self) -> torch.Tensor:
        """Return the values as a tensor of the CPU; those of bfloat16, which files do not know, in float32."""
        found = torch.as_tensor(self.values).detach().cpu()
        return found.float() if found.dtype == torch.bfloat16 else found

    def listed(self) -> Any:
        """Return the values as JSON has them, with None for what is not finite."""
        return finite(self.tensor().tolist())


def finite(value: Any) -> Any:
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


class Arrays:
    """The arrays of a validation, or of an epoch's training, by stage and name, until they are logged."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Array]] = {}

    def add(self, stage: str, name: str, array: Array) -> None:
        self._found.setdefault(stage, {})[name] = array

    def take(self) -> dict[str, dict[str, Array]]:
        """Return what there is, which is not there any more then."""
        found, self._found = self._found, {}
        return found
