"""Trace a training: after each step a digest of every tensor and every other fact of the run.

Run as `python -m otrainer.commands.verify_resume.trace FOLDER STOP`: trains the plan in FOLDER in a process of its own,
from the checkpoint there if a step was traced before, stops after step STOP (`8`; `8e`: at the end of its epoch; empty:
where it is enough) with a checkpoint in FOLDER, and appends a JSON line a step, and an epoch, to the trace in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.commands.verify_resume import REFUSAL, REFUSED
from otrainer.commands.verify_resume.beside import kept_beside
from otrainer.commands.verify_resume.compare import STEPS
from otrainer.components.callbacks.model_checkpoint import ModelCheckpoint
from otrainer.config import SourceMap
from otrainer.config.walk import walk
from otrainer.diagnostics.serialize import to_plain
from otrainer.engine.checkpoint import capture
from otrainer.engine.checkpoint.compare import values_in
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
ORDER = (
    "batch", "rng", "loss", "flags", "attributes", "model", "trained", "optimizer", "scheduler", "scaler", "io",
    "metrics", "callbacks", "loggers", "data", "train_state",
)  # fmt: skip
OF_THE_CLOCK = ("seconds", "validated_at", "logged_at")  # of where training stands: no function of the step
OWN = 2  # callbacks that the check adds, as the last ones
LONGEST_EPOCH = 50  # steps of an epoch whose end is looked at too


def watch(io: Any, seen: list[str]) -> None:
    """Let an io note in `seen` each batch that it splits for training, if its class allows; it holds what it held."""
    own = type(io)

    def split(self: Any, batch: Any, *, stage: str) -> Any:
        if stage == "train":
            seen.append(digest(list(leaves(batch))))
        return own.split(self, batch, stage=stage)

    same = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__slots__": (), "__doc__": own.__doc__}
    with suppress(TypeError):
        object.__setattr__(io, "__class__", type(own.__name__, (own,), {**same, "split": split}))


class Tracer:
    """Writes down each step and each epoch's end, and asks for a stop after one of them.

    `stop` is a step, with `at_end` the end of the epoch that is there by then; None: as many steps as `enough` says.
    """

    def __init__(self, seen: list[str], trace: Path, stop: int | None, *, at_end: bool, accumulate: int) -> None:
        self.seen, self.trace, self.stop, self.at_end, self.accumulate = seen, trace, stop, at_end, accumulate

    def on_train_step_end(self, ctx: RunContext) -> None:
        batch = list(self.seen)
        self.seen.clear()
        self._write(ctx, {"batch": digest(batch)}, {"loss": digest(dict(ctx.last_train_logs))}, "step")
        if self.stop is None:
            self.stop = enough(ctx, self.accumulate)
        if ctx.state.global_step >= self.stop and not self.at_end:
            current_stop_request().signum = signal.SIGINT

    def on_epoch_end(self, ctx: RunContext) -> None:
        logs = {"loss": digest(dict(ctx.last_val_logs))} if ctx.validated else {}
        self._write(ctx, {}, logs, "epoch")
        if self.at_end and self.stop is not None and ctx.state.global_step >= self.stop:
            current_stop_request().signum = signal.SIGINT

    def _write(self, ctx: RunContext, first: dict[str, str], then: dict[str, str], at: str) -> None:
        state = digest_state(ctx)
        beside = {f"beside.{name}": digest(fact) for name, fact in kept_beside(ctx, OWN)}
        facts = {**first, **{name: state.pop(name) for name in list(state) if name.startswith("rng")}, **then}
        row = {
            "step": ctx.state.global_step,
            "at": at,
            "facts": {**facts, **beside, **state},
            "lost": ctx.baseline.lost,
        }
        with self.trace.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load nothing: there is no state."""


def enough(ctx: RunContext, accumulate: int) -> int:
    """Return how many steps to take: past the end of an epoch where that is not far."""
    batches = ctx.train.batches() or LONGEST_EPOCH + 1
    steps = -(-batches // accumulate)
    return max(STEPS, steps + 2) if steps <= LONGEST_EPOCH else STEPS


def digest_state(ctx: RunContext) -> dict[str, str]:
    """Return a digest for every leaf of a run's state, by its dotted name, in the order in which to look."""
    state = values_in(capture(ctx))
    state["loggers"] = None  # where a file of rows ends is not a fact of the training
    state["train_state"] = {name: fact for name, fact in state["train_state"].items() if name not in OF_THE_CLOCK}
    state["callbacks"] = state["callbacks"][: len(state["callbacks"]) - OWN]
    for section in ("metrics", "callbacks"):
        state[section] = [each["state"] for each in state[section]]
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


def main(folder: Path, stop: int | None, *, at_end: bool) -> None:
    """Train one stretch; the process ends with 0 when it was stopped, or was done before."""
    plan, sources, trace = read_json(folder / "plan.json"), read_json(folder / "sources.json"), folder / "trace.jsonl"
    places = SourceMap.from_json(sources["places"], sources["includes"])
    with project(Path.cwd()), StopRequest(), composed(Plan.from_json(plan), places) as whole:
        seen: list[str] = []
        watch(whole.parts.io, seen)
        accumulate = int(getattr(whole.trainer, "grad_accum_steps", 1))
        tracer = Tracer(seen, trace, stop, at_end=at_end, accumulate=accumulate)
        callbacks = [*whole.parts.callbacks, tracer, ModelCheckpoint(str(folder))]
        start = str(folder / "last.pt") if trace.exists() else whole.settings.resume_from
        try:
            whole.fit(replace(whole.settings, resume_from=start), callbacks=callbacks)
        except TrainingInterrupted:
            return


if __name__ == "__main__":
    end_with_parent()
    with open(os.devnull, "w") as silent:  # noqa: PTH123 - what loggers print is not wanted here
        sys.stdout = silent
        try:
            asked = sys.argv[2]
            main(Path(sys.argv[1]), int(asked.rstrip("e")) if asked else None, at_end=asked.endswith("e"))
        except ConfigError as error:
            refused = [to_plain(finding) for finding in error.findings]
            write_json(Path(sys.argv[1]) / REFUSAL, refused, durable=False)
            sys.exit(REFUSED)
