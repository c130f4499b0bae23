"""What a model gave for each sample, beside its targets, in the order of the samples."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import IO, Any

import torch

from otrainer.engine.tree import is_tensor, leaves_with_paths

log = logging.getLogger("otrainer")


class Predictions(ABC):
    """Takes outputs and targets of each batch, on the CPU, by names such as `outputs` and `targets.y`.

    It is a metric for as long as it is told of batches. What does not have one row for each sample is left out.
    """

    def __init__(self) -> None:
        self._batch: dict[str, torch.Tensor] = {}
        self._left_out: dict[str, str] = {}

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        """Take in a batch."""
        for name, tree in (("outputs", outputs), ("targets", targets)):
            for path, leaf in leaves_with_paths(tree, is_tensor):
                if isinstance(leaf, torch.Tensor):
                    whole = leaf.detach().cpu()
                    named = ".".join(map(str, (name, *path)))
                    self._batch[named] = whole.float() if whole.dtype == torch.bfloat16 else whole

    def end_batch(self, samples: int) -> None:
        """Keep what the batch had, which holds so many `samples`."""
        batch, self._batch = self._batch, {}
        for name in [name for name, rows in batch.items() if rows.dim() == 0 or rows.shape[0] != samples]:
            self._left_out[name] = "not a row for each sample"
            del batch[name]
        self.keep(batch, samples)

    @abstractmethod
    def keep(self, batch: dict[str, torch.Tensor], samples: int) -> None:
        """Take the rows of a batch, which are so many."""

    @abstractmethod
    def write(self, stream: IO[bytes]) -> None:
        """Write all that was kept, and tell what is left out."""

    def tell_left_out(self) -> None:
        for name, why in self._left_out.items():
            log.warning("`%s` is not among the predictions: it is %s", name, why)


class Arrays(Predictions):
    """Numpy's arrays, of names whose rows have the same shape in all batches, for which they wait in memory.

    Raises ImportError where there is no numpy.
    """

    def __init__(self) -> None:
        import numpy as np  # which torch does without

        super().__init__()
        self._savez = np.savez
        self._kept: dict[str, list[torch.Tensor]] = {}
        self._batches = 0

    def keep(self, batch: dict[str, torch.Tensor], samples: int) -> None:
        for name, rows in batch.items():
            self._kept.setdefault(name, []).append(rows)
        self._batches += 1

    def arrays(self) -> dict[str, Any]:
        """Return what was kept by name; tell what is left out."""
        found: dict[str, Any] = {}
        for name, batches in self._kept.items():
            if len({(each.shape[1:], each.dtype) for each in batches}) > 1:
                self._left_out[name] = "of another shape from batch to batch"
            elif len(batches) != self._batches:
                self._left_out[name] = "not there in each batch"
            elif name not in self._left_out:
                found[name] = torch.cat(batches).numpy()
        self.tell_left_out()
        return found

    def write(self, stream: IO[bytes]) -> None:
        self._savez(stream, **self.arrays())
