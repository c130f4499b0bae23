"""Mean, deviation and extremes of rows that come in pieces, the same to the bit however they are cut."""

from __future__ import annotations

from typing import Any

import torch

ROWS = 4096  # in a block


class Moments:
    """Statistics of the columns of rows `[rows, columns]`, in float64.

    Rows are taken in blocks of one size, whatever pieces they come in, and the blocks' sums of squares joined as Chan,
    Golub and LeVeque (1979) have it: nothing is lost where the mean is far from 0.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._pending: list[torch.Tensor] = []
        self._count = 0
        self._mean = self._squares = self._low = self._high = torch.empty(0)

    def add(self, rows: torch.Tensor) -> None:
        """Take in rows of any real dtype."""
        self._pending.append(rows.double())
        waiting = sum(map(len, self._pending))
        if waiting >= ROWS:
            whole = torch.cat(self._pending)
            blocks = whole.split(ROWS)
            left = waiting % ROWS
            for block in blocks[: len(blocks) - bool(left)]:
                self._take(block)
            self._pending = [blocks[-1].clone()] if left else []

    def found(self) -> dict[str, Any] | None:
        """Return `count`, and `mean`, `deviation` (not Bessel's), `min` and `max` `[columns]`; None without rows."""
        if self._pending and len(rows := torch.cat(self._pending)):
            self._take(rows)
        self._pending = []
        if not self._count:
            return None
        deviation = (self._squares / self._count).sqrt()
        return {
            "count": self._count,
            "mean": self._mean,
            "deviation": deviation,
            "min": self._low,
            "max": self._high,
        }

    def _take(self, block: torch.Tensor) -> None:
        count, mean = len(block), block.mean(dim=0)
        squares, low, high = ((block - mean) ** 2).sum(dim=0), block.amin(dim=0), block.amax(dim=0)
        if not self._count:
            self._count, self._mean, self._squares, self._low, self._high = count, mean, squares, low, high
            return
        total, apart = self._count + count, mean - self._mean
        self._mean = self._mean + apart * (count / total)
        self._squares = self._squares + squares + apart**2 * (self._count * count / total)
        self._low, self._high = torch.minimum(self._low, low), torch.maximum(self._high, high)
        self._count = total


def without_rounding(mean: torch.Tensor, deviation: torch.Tensor, count: int) -> torch.Tensor:
    """Return deviations in float64, 0 for what may be the rounding of a constant, as sklearn judges it.

    The bound of its error (`_is_constant_feature`) is that of Chan, Golub and LeVeque (1983) for a variance.
    """
    eps, variance = torch.finfo(torch.float64).eps, deviation**2
    return deviation.masked_fill(variance <= count * eps * variance + (count * mean * eps) ** 2, 0.0)
