"""The best checkpoint so far: by which value, how it is called, and how it comes along when a run goes on elsewhere."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, NUMBER, TEXT, Maybe
from otrainer.engine.checkpoint.writer import replace_by_link
from otrainer.engine.monitor import improves, is_of_now, monitored
from otrainer.storage.runs.archive import left_by_the_run_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.engine.state import RunContext
    from otrainer.errors import ConfigPath

log = logging.getLogger("otrainer")

BEST = "best.pt"
ODD = re.compile(r"[^\w.+-]+")


class Best:
    """What is known of the best checkpoint by `monitor`: its value, the step that it is of, and where it lies.

    `place` is its path from the run's folder, as in run.json.
    """

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor, self.mode, self.name = monitor, mode, BEST
        self.value: float | None = None
        self.step: int | None = None
        self.place: str | None = None

    def improves_now(self, ctx: RunContext, folder: Path, config_path: ConfigPath) -> bool:
        """Look at what is new, if anything is; return whether it is the best so far."""
        if not is_of_now(ctx, self.monitor):
            return False
        value = monitored(ctx, self.monitor, config_path)
        if not improves(value, self.value, self.mode):
            return False
        self.value, self.step, self.place = value, ctx.state.global_step, self._place_in(folder, ctx)
        return True

    def take_along(self, ctx: RunContext, folder: Path) -> None:
        """Let the best checkpoint of the run that this one goes on from be in `folder` too, under today's name.

        Where it is gone, or not as it was left, the next validation is the best one so far.
        """
        here = folder / self.name
        if self.value is None or here.exists():
            return
        place = self.place or self._place_in(folder, ctx, BEST)
        source = left_by_the_run_of(ctx.run.resume_from, place) if ctx.run.resume_from else None
        if source is None:
            log.warning(
                "cb.model_checkpoint: the best checkpoint so far (%s %.4g) is gone; what is best is looked for anew",
                self.monitor,
                self.value,
            )
            self.value = self.step = self.place = None
            return
        replace_by_link(source, here)
        self.place = self._place_in(folder, ctx)
        ctx.run.progress.inherited.append(str(here))

    def _place_in(self, folder: Path, ctx: RunContext, name: str | None = None) -> str:
        return Path(os.path.relpath(folder / (name or self.name), ctx.run.out_dir)).as_posix()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.value, "step": self.step, "place": self.place, "monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same monitor and mode; the best by another one says nothing of this one."""
        if (state.get("monitor", self.monitor), state.get("mode", self.mode)) == (self.monitor, self.mode):
            refuse_misfits(state, {"best": Maybe(NUMBER), "step?": Maybe(COUNT), "place?": Maybe(TEXT)})
            self.value, self.step, self.place = state["best"], state.get("step"), state.get("place")


def name_apart(together: Iterable[Best | None]) -> None:
    """Name the best checkpoints of one folder: the first is `best.pt`, another one says its monitor."""
    taken: set[str] = set()
    for best in filter(None, together):
        plain = f"best-{ODD.sub('_', best.monitor)}" if taken else "best"
        names = (plain, f"{plain}-{best.mode}", *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
        best.name = next(f"{name}.pt" for name in names if f"{name}.pt" not in taken)
        taken.add(best.name)
