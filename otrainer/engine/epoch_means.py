"""Means of training values over an epoch: of the loss and what it logs, each micro-batch by what it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.engine.logs import Number, numbers
from otrainer.engine.loss_check import is_sum
from otrainer.engine.weights import counts_nothing, read_weights, weight_of

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.weights import Shares, Weight

PREFIX = "train_"
MOST = 512  # micro-batches whose values wait to be read, so that a device is not waited for at each


class EpochMeans:
    """The weighted means of the epoch so far.

    Values times weights are summed up in double precision, in the order of the micro-batches, so that nothing depends
    on when they are read, or on where a run was stopped.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._ahead: list[tuple[Weight, bool]] = []  # of the micro-batches of the step under way
        self._unread: list[tuple[Mapping[str, Any], Weight, bool]] = []

    def begin(self) -> None:
        """Begin with an epoch."""
        self._sums, self._weights, self._ahead, self._unread = {}, {}, [], []

    def see(self, weight: Weight, *, sums: bool, index: int) -> None:
        """Take what a step's micro-batch number `index` counts, and whether its loss is a sum over so much."""
        if index == 0:
            self._ahead = []
        self._ahead.append((weight, sums))

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in what is logged of the micro-batches of a step that was taken."""
        self._unread += [(row, *ahead) for row, ahead in zip(rows, self._ahead, strict=True)]
        if len(self._unread) >= MOST:
            self._read()

    def values(self) -> dict[str, float]:
        """Return the means, by the names under which they are logged; of what counts nothing it is no number."""
        self._read()
        return {
            PREFIX + name: total / self._weights[name] if self._weights[name] else float("nan")
            for name, total in self._sums.items()
        }

    def state_dict(self) -> dict[str, dict[str, float]]:
        self._read()
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        self.begin()
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])

    def _read(self) -> None:
        """Sum up what waits. Raises ConfigError for a weight that is none."""
        unread, self._unread = self._unread, []
        weights = [float(each) for each in read_weights([weight for _, weight, _ in unread])]
        for name in dict.fromkeys(name for row, *_ in unread for name in row):
            have = [(row[name], w, sums) for (row, _, sums), w in zip(unread, weights, strict=True) if name in row]
            for value, (_, weight, sums) in zip(numbers([value for value, *_ in have]), have, strict=True):
                self._add(name, value, weight, is_total=sums and name == "loss")

    def _add(self, name: str, value: Number, weight: float, *, is_total: bool) -> None:
        total, weights = self._sums.setdefault(name, 0.0), self._weights.setdefault(name, 0.0)
        if weight:  # what weighs nothing may be no number
            self._sums[name], self._weights[name] = total + (value if is_total else value * weight), weights + weight


def note_weight(session: Session, result: Any, shares: Shares, inputs: Any, meta: Any, index: int) -> None:
    """Let the means of the epoch know what a step's micro-batch counts; it is asked for once."""
    ctx, means = session.ctx, session.ctx.epoch_means
    if shares.weights and not shares.is_single:
        weight = shares.weights[-1]
    else:
        weight = weight_of(result, meta, ctx.train, ctx.state.micro_step_in_epoch + index, inputs)
    means.see(weight, sums=is_sum(result, ctx.loss) and not counts_nothing(weight), index=index)
