"""What a model gave for each sample, beside its targets, in the order of the samples."""

from __future__ import annotations

import logging
from typing import Any

import torch

from otrainer.engine.tree import is_tensor, leaves_with_paths

log = logging.getLogger("otrainer")


class Predictions:
    """Keeps outputs and targets of each batch on the CPU; a metric for as long as it is told of batches.

    What does not have one row for each sample of a batch, and rows of the same shape in all batches, is left out.
    """

    def __init__(self) -> None:
        self._batch: dict[str, torch.Tensor] = {}
        self._kept: dict[str, list[torch.Tensor]] = {}
        self._batches = 0
        self._left_out: dict[str, str] = {}

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        """Take in a batch."""
        for name, tree in (("outputs", outputs), ("targets", targets)):
            for path, leaf in leaves_with_paths(tree, is_tensor):
                if isinstance(leaf, torch.Tensor):
                    self._batch[".".join(map(str, (name, *path)))] = leaf.detach().cpu()

    def end_batch(self, samples: int) -> None:
        """Keep what the batch had, which holds so many `samples`."""
        batch, self._batch = self._batch, {}
        for name, rows in batch.items():
            if rows.dim() == 0 or rows.shape[0] != samples:
                self._left_out[name] = "not a row for each sample"
            else:
                self._kept.setdefault(name, []).append(rows)
        self._batches += 1

    def arrays(self) -> dict[str, Any]:
        """Return what was kept, as numpy's arrays by names such as `outputs` and `targets.y`; tell what is left out.

        Raises ImportError where there is no numpy.
        """
        import numpy  # noqa: F401 - which torch does without

        found: dict[str, Any] = {}
        for name, batches in self._kept.items():
            if len({(each.shape[1:], each.dtype) for each in batches}) > 1:
                self._left_out[name] = "of another shape from batch to batch"
            elif len(batches) != self._batches:
                self._left_out[name] = "not there in each batch"
            elif name not in self._left_out:
                rows = torch.cat(batches)
                found[name] = (rows.float() if rows.dtype == torch.bfloat16 else rows).numpy()
        for name, why in self._left_out.items():
            log.warning("`%s` is not among the predictions: it is %s", name, why)
        return found
