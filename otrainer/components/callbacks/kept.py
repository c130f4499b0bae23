"""Which checkpoints of a folder stay: those called by their step, of which the newest do, and the best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT
from otrainer.engine.checkpoint.writer import taken_by
from otrainer.storage.runs.ownership import is_checkpoint
from otrainer.storage.runs.run_json import LAST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otrainer.components.callbacks.best import Best
    from otrainer.components.callbacks.top import Top
    from otrainer.engine.state import RunContext
    from otrainer.errors import ConfigPath


class Steps:
    """The checkpoints that are called by their steps, of which the newest `most` stay; None: all."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.kept: dict[int, None] = {}

    def take(self, step: int) -> str:
        """Return how the checkpoint of a step is called, which is the newest now."""
        self.kept.pop(step, None)
        self.kept[step] = None
        return name_of(step)

    def spare(self) -> list[str]:
        """Forget those that are too many, and return their names."""
        spare = [*self.kept][: -self.most] if self.most is not None else []
        for step in spare:
            del self.kept[step]
        return [name_of(step) for step in spare]

    def take_back(self, steps: Iterable[int], folder: Path) -> None:
        """Go on with those of some steps that are there."""
        self.kept = {step: None for step in steps if (folder / name_of(step)).exists()}


@dataclass
class Kept:
    """What one callback, at its `place` in the config, keeps in its folder: the last one, those of some steps, the
    best."""

    folder: Path
    save_last: bool
    every_n_steps: int | None
    every_n_epochs: int | None
    steps: Steps
    best: Best | None
    top: Top | None
    weights_only: bool = False
    place: ConfigPath = ("callbacks",)

    def take_along(self, ctx: RunContext) -> None:
        """Let the best of the run that this one goes on from be here too."""
        for each in (self.best, self.top):
            if each is not None:
                each.take_along(ctx, self.folder)

    def note_unlisted(self, ctx: RunContext) -> None:
        """Note what came of the save that this run goes on from: it may have been killed before it noted them."""
        step, epochs = ctx.state.global_step, ctx.state.epochs_done
        names = [name_of(step), *([self.best.name] if self.best is not None and self.best.value is not None else [])]
        if there := [str(path) for name in names if is_checkpoint(path := self.folder / name)]:
            ctx.run.progress.note_outputs(there, at=(step, epochs))

    def names_to_come(self, *, wants_last: bool) -> list[Path]:
        """Return the files of the folder that may be written to, as far as they are there."""
        names = [LAST] if self.save_last else []
        names += [self.best.name] if self.best is not None else []
        by_step = self.every_n_steps or self.every_n_epochs or not wants_last
        steps = sorted(self.folder.glob("step_*.pt")) if by_step else []
        return [*taken_by([self.folder / name for name in names]), *steps]

    def now(self, ctx: RunContext) -> str:
        """Return how the checkpoint of this step is called, which is the newest."""
        return self.steps.take(ctx.state.global_step)

    def after_step(self, ctx: RunContext) -> Iterator[str]:
        """Yield the names under which this step is kept."""
        if self.every_n_steps is not None and ctx.state.global_step % self.every_n_steps == 0:
            yield self.now(ctx)
            if self.save_last:
                yield LAST

    def after_epoch(self, ctx: RunContext) -> Iterator[str]:
        """Yield the names under which the end of this epoch is kept."""
        if self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0:
            yield self.now(ctx)
        yield from self.after_validation(ctx)
        if self.save_last:
            yield LAST

    def after_validation(self, ctx: RunContext) -> Iterator[str]:
        """Yield the names of the best, if this state is among them."""
        if self.best is not None and self.best.improves_now(ctx, self.folder, self.place):
            yield self.best.name
        if self.top is not None:
            yield from self.top.takes_now(ctx, self.folder, self.place)

    def state_dict(self, *, has_steps: bool) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        best = {"best": None} if self.best is None else self.best.state_dict()
        best |= {} if self.top is None else self.top.state_dict()
        # Where all are kept, there may be thousands, and nobody asks for them.
        return {**best, "steps": [*self.steps.kept] if has_steps else []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from that."""
        refuse_misfits(state, {"steps": [COUNT]})
        for each in (self.best, self.top):
            if each is not None:
                each.load_state_dict(state)
        self.steps.take_back(state["steps"], self.folder)


def name_of(step: int) -> str:
    """Return how the checkpoint of a step is called."""
    return f"step_{step}.pt"


def spare_names(together: Sequence[Kept], over: Sequence[int], folder: Path, ctx: RunContext) -> list[str]:
    """Forget the files of a folder that are one too many, those of the steps `over` among them; return whose nobody
    else keeps."""
    gone = [name_of(step) for step in over]
    for each in together:
        gone += each.steps.spare()
        gone += [] if each.top is None else each.top.spare()
    # An interrupted run goes on from a step of its own, which nobody named.
    asked = ctx.run.resume_from if ctx.run.config is None else (ctx.run.config.get("run") or {}).get("resume_from")
    named = asked and Path(asked).resolve()
    kept = {name_of(step) for each in together for step in each.steps.kept}
    kept |= {name for each in together if each.top is not None for name in each.top.names}
    return [name for name in gone if name not in kept and (folder / name).resolve() != named]
