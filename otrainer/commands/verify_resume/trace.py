"""Trace a training: after each step a digest of every tensor and every other fact of the run.

Run as `python -m otrainer.commands.verify_resume.trace FOLDER STOP`: trains the plan in FOLDER in a process of its own,
from the checkpoint there if a step was traced before, stops after step STOP with a checkpoint in FOLDER, and appends a
JSON line a step to the trace in it.
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

from otrainer.commands.verify_resume import REFUSAL, REFUSED
from otrainer.components.callbacks.model_checkpoint import ModelCheckpoint
from otrainer.config import SourceMap
from otrainer.config.walk import walk
from otrainer.diagnostics.serialize import to_plain
from otrainer.engine.checkpoint import capture
from otrainer.engine.signals import StopRequest, TrainingInterrupted, current_stop_request
from otrainer.engine.tree import leaves
from otrainer.errors import ConfigError, dotted
from otrainer.stages.fit.compose import composed
from otrainer.stages.plan import Plan
from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.processes import end_with_parent
from otrainer.storage.project import project

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

# In the order in which one leads to the next: the first that differs is where to look.
ORDER = ("batch", "rng", "loss", "model", "optimizer", "scheduler", "scaler", "metrics", "callbacks", "loggers", "data")


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
        facts = {"batch": digest(batch), "loss": digest(dict(ctx.last_train_logs)), **digest_state(ctx)}
        with self.trace.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"step": ctx.state.global_step, "facts": facts}) + "\n")
        if ctx.state.global_step >= self.stop:
            current_stop_request().signum = signal.SIGINT

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load nothing: there is no state."""


def digest_state(ctx: RunContext) -> dict[str, str]:
    """Return a digest for every leaf of a run's state, by its dotted name, in the order in which to look."""
    state = {**capture(ctx), "loggers": None}  # where a file of rows ends is not a fact of the training
    found: dict[str, str] = {}
    for part in ORDER:
        for path, value in walk(state.get(part), (part,), into=has_parts):
            if value is not None and not has_parts(value):
                found.setdefault(dotted(path), digest(value))
    return found


def has_parts(value: object) -> bool:
    """Return whether a value is digested part by part; a list of numbers is not."""
    if not isinstance(value, list | tuple):
        return isinstance(value, dict)
    return any(isinstance(item, dict | list | tuple | torch.Tensor) for item in value)


def digest(value: Any) -> str:
    """Return the same text for the same bits: of tensors their numbers, kinds and shapes, of all else its text."""
    mark = hashlib.blake2b(digest_size=16)
    tensors = list(leaves(value))
    for leaf in tensors:
        plain = leaf.detach().cpu().contiguous()
        mark.update(f"{plain.dtype} {tuple(plain.shape)} ".encode())
        mark.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    if not isinstance(value, torch.Tensor):
        mark.update(repr(type(value) if tensors else value).encode())
    return mark.hexdigest()


def main(folder: Path, stop: int) -> None:
    """Train one stretch; the process ends with 0 when it was stopped, or was done before."""
    plan, sources, trace = read_json(folder / "plan.json"), read_json(folder / "sources.json"), folder / "trace.jsonl"
    places = SourceMap.from_json(sources["places"], sources["includes"])
    with project(Path.cwd()), StopRequest(), composed(Plan.from_json(plan), places) as whole:
        io = TracedIO(whole.parts.io)
        callbacks = [*whole.parts.callbacks, Tracer(io, trace, stop), ModelCheckpoint(str(folder))]
        start = str(folder / "last.pt") if trace.exists() else whole.settings.resume_from
        try:
            whole.fit(replace(whole.settings, resume_from=start), io=io, callbacks=callbacks)
        except TrainingInterrupted:
            return


if __name__ == "__main__":
    end_with_parent()
    with open(os.devnull, "w") as silent:  # noqa: PTH123 - what loggers print is not wanted here
        sys.stdout = silent
        try:
            main(Path(sys.argv[1]), int(sys.argv[2]))
        except ConfigError as error:
            refused = [to_plain(finding) for finding in error.findings]
            write_json(Path(sys.argv[1]) / REFUSAL, refused, durable=False)
            sys.exit(REFUSED)
