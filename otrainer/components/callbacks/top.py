"""The k best checkpoints: which they are, how their files are called, and which of them goes once a better one came."""

from __future__ import annotations

import os
import re
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, NUMBER, TEXT
from otrainer.engine.checkpoint.writer import replace_by_link
from otrainer.engine.monitor import improves, is_of_now, monitored
from otrainer.storage.runs.archive import left_by_the_run_of
from otrainer.storage.runs.run_json import is_of_a_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otrainer.engine.state import RunContext
    from otrainer.errors import ConfigPath

DEFAULT = "top-step{global_step}"
STEP = "global_step"
EPOCH = "epoch"
PLAIN = re.compile(r"\w[\w.+=@-]*", re.ASCII)  # nothing that leads to another folder


class Top:
    """The `size` best checkpoints by `monitor`, each in a file of its own, which `template` names.

    Of two equal values the earlier one is better. A file that is one too many stays until the better one is on the
    disk. Raises ValueError for a template that does not give each checkpoint a file of its own in the folder.
    """

    def __init__(self, size: int, monitor: str, mode: str, template: str) -> None:
        check_template(template)
        self.size, self.monitor, self.mode, self.template = size, monitor, mode, template
        self.entries: list[tuple[float, int, str]] = []  # value, step, path from the run's folder; the best first
        self._over: list[str] = []
        self._next: list[str] = []  # to be over once the save that is about to begin is done

    @property
    def names(self) -> list[str]:
        """The files of the best, the best first."""
        return [Path(place).name for _, _, place in self.entries]

    @property
    def logged(self) -> list[str]:
        """The values of validation that are in the names of its files."""
        return [name for name in fields_of(self.template) if name not in (STEP, EPOCH)]

    def takes_now(self, ctx: RunContext, folder: Path, config_path: ConfigPath) -> Iterator[str]:
        """Look at what is new, if anything is; yield the name of its checkpoint if it is one of the best.

        Raises ConfigError for a value that is not logged.
        """
        if not is_of_now(ctx, self.monitor):
            return
        value, step = monitored(ctx, self.monitor, config_path), ctx.state.global_step
        name = self.name_of(ctx, config_path)
        at = next(
            (at for at, each in enumerate(self.entries) if improves(value, each[0], self.mode)), len(self.entries)
        )
        if value != value or at >= self.size:
            return
        self.entries.insert(at, (value, step, Path(os.path.relpath(folder / name, ctx.run.out_dir)).as_posix()))
        self._next += self.names[self.size :]
        del self.entries[self.size :]
        yield name

    def name_of(self, ctx: RunContext, config_path: ConfigPath) -> str:
        """Return how the file of now is called."""
        counts = {STEP: ctx.state.global_step, EPOCH: ctx.state.epoch}
        values = {name: monitored(ctx, name, config_path, key="filename") for name in self.logged}
        return f"{filled(self.template, {**values, **counts})}.pt"

    def spare(self) -> list[str]:
        """Forget the files that are one too many, and return them."""
        gone, self._over = self._over, []
        return gone

    def note_begun(self) -> None:
        """Note that the save has begun which makes files one too many: they go once it is waited for."""
        self._over, self._next = [*self._over, *self._next], []

    def take_along(self, ctx: RunContext, folder: Path) -> None:
        """Let the files of the run that this one goes on from be in `folder` too; one that is gone is forgotten."""
        kept = []
        for value, step, place in self.entries:
            here = folder / Path(place).name
            looked_for = None if here.exists() else ctx.run.resume_from
            source = None if looked_for is None else left_by_the_run_of(looked_for, place)
            if source is not None:
                replace_by_link(source, here)
                ctx.run.progress.inherited.append(str(here))
            if here.exists():
                kept.append((value, step, Path(os.path.relpath(here, ctx.run.out_dir)).as_posix()))
        self.entries = kept

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        best = [{"value": value, "step": step, "place": place} for value, step, place in self.entries]
        return {"top": best, "over": [*self._over, *self._next]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of one with the same monitor and mode, with as many of the best as this one keeps."""
        found = state.get("top", []) if (state.get("monitor"), state.get("mode")) == (self.monitor, self.mode) else []
        self._over = state.get("over", []) if found else []
        refuse_misfits({"top": found}, {"top": [{"value": NUMBER, "step": COUNT, "place": TEXT}]})
        refuse_misfits({"over": self._over}, {"over": [TEXT]})
        self.entries = [(each["value"], each["step"], each["place"]) for each in found][: self.size]


def fields_of(template: str) -> list[str]:
    """Return the names of what a template is filled with."""
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


def filled(template: str, values: Mapping[str, float]) -> str:
    """Return a template with values in place of its fields; what a field names is no attribute of anything."""
    parts = Formatter().parse(template)
    return "".join(text + ("" if name is None else format(values[name], form or "")) for text, name, form, _ in parts)


def check_template(template: str) -> None:
    """Raise ValueError unless a template has `{global_step}`, and makes the name of a file in the folder."""
    try:
        parts = list(Formatter().parse(template))
        name = filled(template, {field: 1 if field in (STEP, EPOCH) else 1.5 for field in fields_of(template)})
    except ValueError as cause:
        raise ValueError(f"filename {template!r} cannot be filled with numbers: {cause}") from None
    if any(how or not found for _, found, _, how in parts if found is not None):
        raise ValueError(f"filename {template!r} has a field without a name, or with a conversion")
    if STEP not in fields_of(template):
        raise ValueError(f"filename has `{{{STEP}}}` in it, so that no two checkpoints share a name, not {template!r}")
    if not PLAIN.fullmatch(name) or is_of_a_step(f"{name}.pt"):
        raise ValueError(
            f"filename names a file in `save_dir`, of letters, digits and `_.+=@-`, and not as those of steps are "
            f"called, so not {template!r}"
        )


def top_of(size: int, monitor: str | None, mode: str, template: str | None) -> Top:
    """Return the best that a config asks for. Raises ValueError where it does not say by what they are the best."""
    if monitor is None:
        raise ValueError("top_k is how many of the best by `monitor` are kept, which is not given")
    return Top(size, monitor, mode, DEFAULT if template is None else template)
