"""The saves of one folder: one at a time, which is under way, which the newest, and what goes then."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otrainer.components.callbacks.kept import name_of, spare_names
from otrainer.engine.checkpoint.save import capture, naming_component
from otrainer.engine.checkpoint.weights_alone import weights_alone
from otrainer.engine.checkpoint.writer import Saved, Writer
from otrainer.errors import errors_at
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root
from otrainer.storage.runs.ownership import is_checkpoint
from otrainer.storage.runs.run_json import LAST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from otrainer.components.callbacks.kept import Kept
    from otrainer.engine.state import RunContext
    from otrainer.errors import ConfigPath


class Saving:
    """Writes checkpoints into a folder, for all callbacks that keep some there.

    `at_start` is where training stood at first, `newest` where at the newest save that is on the disk, at
    `newest_path`; `has_failed` says that a save failed: what a full disk refused, it refuses once more.
    """

    def __init__(self, folder: Path, *, background: bool) -> None:
        self.folder = folder
        self.at_start: dict[str, Any] | None = None
        self.newest: dict[str, Any] | None = None
        self.newest_path: Path | None = None
        self.has_failed = False
        self._together: Sequence[Kept] = ()
        self._place: ConfigPath = ("callbacks",)
        # Where training stood at the save that was begun last, under which names that is, and at the last whole one.
        self._begun: dict[str, Any] | None = None
        self._begun_names: Sequence[str] = ()
        self._begun_whole: dict[str, Any] | None = None
        self._writer = Writer(background=background)
        self._is_prepared = False
        # The step of a save that is kept until the epoch's end is done, and those that may go.
        self._held: int | None = None
        self._over: list[int] = []
        self._before: tuple[tuple[int, int] | None, dict[str, Any] | None, Path | None] = (None, None, None)

    def begin(self, ctx: RunContext, together: Sequence[Kept], place: ConfigPath, *, background: bool) -> None:
        """Save for callbacks that keep checkpoints in the folder, of which the one at `place` saves for all."""
        self._together, self._place = together, place
        if not background:
            self._writer = Writer(background=False)
        self.at_start = ctx.state.state_dict()

    def prepare(self, ctx: RunContext) -> None:
        """Make the buffers of the saves to come, once; the optimizer has its state only after a step."""
        if not self._is_prepared:
            self._is_prepared = True
            with naming_component(ctx):
                state = capture(ctx)
                self._writer.prepare(state if self.saves_runs else weights_alone(state))

    @property
    def saves_runs(self) -> bool:
        """Whether a run can go on from any of the checkpoints, and not all are of weights alone."""
        return any(each.save_last or not each.weights_only for each in self._together)

    def save(self, ctx: RunContext, names: Iterable[str], alone: Iterable[str] = ()) -> None:
        """Begin to write this state under `names`, and its weights `alone` under others, once the save before is done.

        What is asked for whole too, or held, is whole.
        """
        alone = dict.fromkeys(alone)
        held = [name for name in alone if self._held is not None and name == name_of(self._held)]
        names = sorted(dict.fromkeys([*names, *held]), key=lambda name: name == LAST)
        paths = tuple(self.folder / name for name in names)
        weights = tuple(self.folder / name for name in alone if name not in names)
        if not (paths or weights):
            return
        self.settle(ctx)
        with errors_at(*self._place):
            refuse_outside(self.folder, project_root())
        with self._noting_failure(), naming_component(ctx):
            state = capture(ctx)
            saved = Saved(paths, ctx.state.global_step, ctx.state.epochs_done, weights)
            self._writer.save(state if paths else weights_alone(state), saved)
        for top in filter(None, [each.top for each in self._together]):
            top.note_begun()
        self._begun, self._begun_names = ctx.state.state_dict(), [path.name for path in (*paths, *weights)]
        if paths:
            self._begun_whole = self._begun
        self.settle_if_done(ctx)

    def settle_if_done(self, ctx: RunContext) -> None:
        """Say that the save in flight is there, if it is."""
        if self._writer.is_done:
            self.settle(ctx)

    def settle(self, ctx: RunContext) -> None:
        """Wait for the save in flight, if any, and say that it is there; steps that are one too many go then."""
        with self._noting_failure():
            saved = self._writer.wait()
        if saved is None and not self._over:
            return
        removed = [self.folder / name for name in spare_names(self._together, self.hold_back(), self.folder, ctx)]
        at = ctx.run.progress.saved
        if saved is not None and saved.paths:
            at, self.newest, self.newest_path = (saved.step, saved.epochs), self._begun_whole, saved.paths[-1]
        for path in removed:
            if is_checkpoint(path):
                path.unlink(missing_ok=True)
        if self.newest_path in removed:
            at, self.newest, self.newest_path = self._before
        written = [] if saved is None else [*map(str, (*saved.weights, *saved.paths))]
        ctx.run.progress.note_outputs(written=written, removed=[*map(str, removed)], at=at)

    def is_of_now(self, ctx: RunContext, name: str | None = None) -> bool:
        """Return whether the save that was begun last is of this state, whole, or under this name, if one is given."""
        if name is None:
            return self._begun_whole == ctx.state.state_dict()
        return name in self._begun_names and self._begun == ctx.state.state_dict()

    def hold(self, ctx: RunContext) -> None:
        """Save this state under the name of its step until all that comes at the epoch's end is done."""
        self.settle(ctx)
        self._held = ctx.state.global_step
        self._before = (ctx.run.progress.saved, self.newest, self.newest_path)
        self.save(ctx, [name_of(self._held)])

    def let_go(self) -> None:
        """Let what was held go once something newer is on the disk, unless somebody keeps it."""
        if self._held is not None and not any(self._held in each.steps.kept for each in self._together):
            self._over.append(self._held)
        self._held = None

    def hold_back(self) -> list[int]:
        """Return the steps whose checkpoints were to go, which stay now."""
        over, self._over = self._over, []
        return over

    def release(self, over: list[int], ctx: RunContext) -> None:
        """Let these go after all, now that something newer is on the disk."""
        self._over = over
        self.settle(ctx)

    def close(self) -> None:
        """End the writing; what is in flight is written first."""
        self._writer.close()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.has_failed = True
            raise
