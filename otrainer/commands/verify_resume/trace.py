"""What `doit verify-resume` looks at: every tensor and every other fact of a run after each step, as digests.

Run as `python -m otrainer.commands.verify_resume.trace PLAN TRACE FOLDER STOP [CHECKPOINT]`: trains what the plan holds
in a process of its own, stops after step STOP with a checkpoint in FOLDER, and appends a JSON line a step to TRACE.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.callbacks.model_checkpoint import ModelCheckpoint
from otrainer.config import SourceMap
from otrainer.diagnostics.serialize import to_plain
from otrainer.engine.checkpoint import capture
from otrainer.engine.signals import StopRequest, TrainingInterrupted, current_stop_request
from otrainer.engine.tree import leaves
from otrainer.errors import ConfigError
from otrainer.stages.fit.compose import composed
from otrainer.stages.plan import Plan
from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.processes import end_with_parent
from otrainer.storage.project import project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otrainer.engine.state import RunContext

# In the order in which one leads to the next: the first that differs is where to look.
ORDER = ("batch", "rng", "loss", "model", "optimizer", "scheduler", "scaler", "metrics", "callbacks", "loggers", "data")
REFUSED, REFUSAL = 3, "refusal.json"


class TracedIO:
    """The run's own io, which lets each batch be seen."""

    def __init__(self, io: Any) -> None:
        self._io = io
        self.seen: list[str] = []

    def split(self, batch: Any, *, stage: str) -> Any:
        if stage == "train":
            self.seen.append(digest(list(leaves(batch))))
        return self._io.split(batch, stage=stage)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)


class Tracer:
    """Writes down each step, and asks for a stop after one of them."""

    def __init__(self, io: TracedIO, trace: Path, stop: int) -> None:
        self.io, self.trace, self.stop = io, trace, stop

    def on_train_step_end(self, ctx: RunContext) -> None:
        batch, self.io.seen = self.io.seen, []
        facts = {"batch": digest(batch), "loss": digest(dict(ctx.last_train_logs)), **facts_of(ctx)}
        with self.trace.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"step": ctx.state.global_step, "facts": facts}) + "\n")
        if ctx.state.global_step >= self.stop:
            current_stop_request().signum = signal.SIGINT

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to load."""


def facts_of(ctx: RunContext) -> dict[str, str]:
    """A digest for every leaf of a run's state, by its dotted name, in an order that says where to look first."""
    state = {**capture(ctx), "loggers": None}  # where a file of rows ends is not a fact of the training
    found: dict[str, str] = {}
    for part in ORDER:
        for name, value in named_leaves(state.get(part), part):
            found.setdefault(name, digest(value))
    return found


def named_leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from named_leaves(item, f"{name}.{key}")
    elif isinstance(value, list | tuple) and any(
        isinstance(item, dict | list | tuple | torch.Tensor) for item in value
    ):
        for index, item in enumerate(value):
            yield from named_leaves(item, f"{name}[{index}]")
    elif value is not None:
        yield name, value


def digest(value: Any) -> str:
    """The same for the same bits: of tensors their numbers, kinds and shapes, of all else its text."""
    mark = hashlib.blake2b(digest_size=16)
    for leaf in leaves(value):
        plain = leaf.detach().cpu().contiguous()
        mark.update(f"{plain.dtype} {tuple(plain.shape)} ".encode())
        mark.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    if not isinstance(value, torch.Tensor):
        mark.update(repr(value if not any(True for _ in leaves(value)) else type(value)).encode())
    return mark.hexdigest()


def main(plan_file: Path, trace: Path, folder: Path, stop: int, checkpoint: str | None) -> None:
    """One stretch of training; the process ends with 0 when it was stopped, or was done before."""
    plan = Plan.from_json(read_json(plan_file))
    sources = read_json(plan_file.with_name("sources.json"))
    places = SourceMap.from_json(sources["places"], sources["includes"])
    root = Path.cwd()
    with project(root), StopRequest(), composed(plan, places) as whole:
        io = TracedIO(whole.parts["io"])
        callbacks = [*whole.parts["callbacks"], Tracer(io, trace, stop), ModelCheckpoint(str(folder))]
        try:
            start = checkpoint or whole.settings.resume_from
            whole.fit(replace(whole.settings, resume_from=start), io=io, callbacks=callbacks)
        except TrainingInterrupted:
            return


if __name__ == "__main__":
    end_with_parent()
    with open(os.devnull, "w") as silent:  # noqa: PTH123 - what loggers print is not wanted here
        sys.stdout = silent
        try:
            main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), (*sys.argv[5:], None)[0])
        except ConfigError as error:
            write_json(Path(sys.argv[3]) / REFUSAL, [to_plain(finding) for finding in error.findings], durable=False)
            sys.exit(REFUSED)
