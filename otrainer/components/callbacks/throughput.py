"""cb.throughput: how fast training is, in steps, samples and tokens per second."""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.own_step import whole_batch
from otrainer.engine.weights import first_dimension
from otrainer.errors import check_whole
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext
    from otrainer.protocols import LossOutput


class Throughput:
    """Append how many steps, samples and tokens a second took, once for each `window` of so many optimizer steps.

    Rows go to `path`, by default to `throughput.jsonl` in the run's folder, and not to the loggers: times are no
    function of the step, and no two runs have the same. Validation and checkpoints in between count as they are.
    Weight is that of `LossOutput.weight`, as of tokens, and left out where the loss says none. Samples are the first
    dimension of a batch. The device is waited for once a row.
    """

    only_looks = True

    def __init__(self, window: int = 50, path: str | None = None) -> None:
        check_whole("window", window)
        self.window, self.path = window, path
        self._samples, self._steps = 0, 0
        self._weights: deque[Any] = deque()
        self._began: float | None = None
        self._to = ""

    def on_fit_start(self, ctx: RunContext) -> None:
        """Begin to count, with the first step of this attempt left out: it warms up."""
        self._to = self.path or f"{ctx.run.out_dir}/throughput.jsonl"
        refuse_outside(Path(self._to), project_root(), ("callbacks",))
        self._began = None

    def on_train_batch_end(self, ctx: RunContext, batch: Any, output: LossOutput) -> None:
        """Count a micro-batch."""
        self._samples += first_dimension(whole_batch(batch))
        if output.weight is not None:
            self._weights.append(output.weight() if callable(output.weight) else output.weight)

    def on_train_step_end(self, ctx: RunContext) -> None:
        """Write a row each `window` steps."""
        self._steps += 1
        if self._began is None:
            self._begin()
        elif self._steps == self.window:
            self._write(ctx.state.global_step)
            self._begin()

    def _begin(self) -> None:
        self._began, self._samples, self._steps = time.perf_counter(), 0, 0
        self._weights.clear()

    def _write(self, step: int) -> None:
        weight = sum(map(float, self._weights))  # waits for the device, before the time is taken
        seconds = time.perf_counter() - (self._began or 0.0)
        row = {"step": step, "steps_per_s": self.window / seconds, "samples_per_s": self._samples / seconds}
        if self._weights:
            row["weight_per_s"] = weight / seconds
        to = Path(self._to)
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: times are those of an attempt."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin anew."""
