"""Training processes are killed at random moments, most of them inside a save: no checkpoint is torn, lost or left over.

Each series is one run of which every stretch but the last is ended by SIGKILL; it has to end at the bits of a run that
nobody killed. `python tests/campaigns/kills.py --kills 250 --inside 50` exits with 1 where anything was violated.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from support import Batches, fit, parameters_of, random_batches

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.state import Progress
from otrainer.errors import ConfigError
from otrainer.storage.atomic import TEMP_PREFIX

EPOCHS, BATCHES, WIDTH = 4, 10, 256
KILLS_A_SERIES = 10
MOMENT_S = 0.06  # a killed stretch is at most so long
EARLY = 0.3  # the share of stretches for which that counts from their start, not from their first step
STEPS = EPOCHS * BATCHES


class Told:
    """What a child says in memory that outlives it: the last durable step, and one more than the strays at its start."""

    FORMAT = struct.Struct("qq")

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, self.FORMAT.size)

    durable = property(lambda self: self.FORMAT.unpack(self.memory)[0])
    strays = property(lambda self: self.FORMAT.unpack(self.memory)[1] - 1)

    def tell(self, durable: int, strays: int) -> None:
        self.memory[:] = self.FORMAT.pack(durable, strays + 1)


class AtFirstStep:
    """Counts what a sweep should have removed, when the first step is done; this process may be at a save by then."""

    def __init__(self, folder: Path, told: Told) -> None:
        self.folder, self.told = folder, told

    def on_train_step_end(self, _ctx: Any) -> None:
        if self.told.strays < 0:
            own = f"{TEMP_PREFIX}{os.getpid()}."
            strays = [path for path in temporary(self.folder) if not path.name.startswith(own)]
            self.told.tell(self.told.durable, len(strays))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, _state: dict[str, Any]) -> None:
        """It has none."""


@dataclass
class Seen:
    """What came of the kills; everything in `wrong` is a promise that was broken."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self.wrong.append(f"{kind}: {what}")


def train(folder: Path, told: Told, *, background: bool) -> torch.Tensor:
    """Go on from `last.pt` if it is there, to the end; the parameters then."""
    last = folder / "last.pt"

    def saved() -> None:
        told.tell(progress.saved[0] if progress.saved else 0, told.strays)

    progress = Progress(on_output=saved)
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Linear(WIDTH, WIDTH), torch.nn.Dropout(0.1), torch.nn.Tanh(), torch.nn.Linear(WIDTH, 1)
    )
    fit(
        model,
        Batches(random_batches(BATCHES, width=WIDTH)),
        trainer={"max_epochs": EPOCHS},
        optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-3}},
        callbacks=[
            AtFirstStep(folder, told),
            ModelCheckpoint(str(folder), every_n_steps=1, keep_last=3, background=background),
        ],
        run={"progress": progress, **({"resume_from": str(last)} if last.exists() else {})},
    )
    return parameters_of(model)


def fork(work: Any) -> int:
    """A child that does `work` and ends with 0, or with 1 where that raised."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(f"child failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(status)


def temporary(folder: Path) -> list[Path]:
    return list(folder.glob(f"{TEMP_PREFIX}*"))


def step_of(path: Path, seen: Seen) -> int:
    """The step that a checkpoint holds; -1, and noted, where it does not load."""
    try:
        return int(load_checkpoint(path)["train_state"]["global_step"])
    except ConfigError as error:
        seen.note("torn", f"{path}: {error}")
        return -1


def look(folder: Path, durable: int, seen: Seen) -> None:
    """Look at what a killed process left: every file under a final name is whole, and none is too old."""
    steps = {path.name: step_of(path, seen) for path in sorted(folder.glob("*.pt"))}
    last = steps.get("last.pt", 0)
    if last < durable:
        seen.note("lost", f"{folder}: step {durable} was durable, and last.pt has {last}")
    if durable and "last.pt" not in steps:
        seen.note("absent", f"{folder}: no last.pt after step {durable}")
    if steps.get("previous.pt", 0) > last:
        seen.note("lost", f"{folder}: previous.pt is newer than last.pt")
    newest = max((step for name, step in steps.items() if name.startswith("step_")), default=0)
    inside = bool(temporary(folder)) or newest > last
    seen.counts["kills"] += 1
    seen.counts["inside a save"] += inside
    seen.counts["with a temporary file"] += bool(temporary(folder))


def series(folder: Path, chance: random.Random, seen: Seen, kills: int, *, background: bool) -> None:
    """One run that is killed so many times, and then ends; children that ended before their kill do not count."""
    durable = 0
    for _ in range(kills):
        told = Told()
        child = fork(lambda told=told: train(folder, told, background=background))
        if chance.random() > EARLY:
            begun(told, child)
        time.sleep(chance.uniform(0.0, MOMENT_S))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        durable = max(durable, told.durable)
        if told.strays > 0:
            seen.note("strays", f"{folder}: {told.strays} at the first step of a following fit")
        if not os.WIFSIGNALED(status):
            seen.counts["ended before the kill"] += 1
            break
        look(folder, durable, seen)
    told = Told()
    result = folder.with_suffix(".result")
    child = fork(lambda: torch.save(train(folder, told, background=background), result))
    _, status = os.waitpid(child, 0)
    if status or told.strays > 0 or temporary(folder):
        seen.note("strays" if not status else "not continued", f"{folder}: exit status {status}")
    elif step_of(folder / "last.pt", seen) != STEPS or not torch.equal(torch.load(result), whole(folder.parent)):
        seen.note("not exact", f"{folder}: the weights are not those of a run that nobody killed")
    else:
        seen.counts["ended bit for bit"] += 1


def begun(told: Told, child: int) -> None:
    """Wait until a child has taken a step or ended: on a busy machine it may not have come that far in a moment."""
    while told.strays < 0 and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.001)


def whole(folder: Path) -> torch.Tensor:
    """The parameters of a run in one go; made once, which also imports here what the children need."""
    path = folder / "whole.result"
    if not path.exists():
        for background in (True, False):
            torch.save(train(folder / f"whole-{background}", Told(), background=background), path)
    return torch.load(path)


def campaign(kills: int, inside: int, seed: int, enough: int = 20) -> Seen:
    """Kill until there were `kills`, of which `inside` landed in a save, or `enough` went wrong."""
    torch.set_num_threads(1)
    seen, chance = Seen(), random.Random(seed)
    with tempfile.TemporaryDirectory() as text:
        folder, number = Path(text), 0
        whole(folder)
        while len(seen.wrong) < enough and (seen.counts["kills"] < kills or seen.counts["inside a save"] < inside):
            number += 1
            left = min(KILLS_A_SERIES, max(1, kills - seen.counts["kills"]))
            series(folder / f"run{number}", chance, seen, left, background=number % 2 == 1)
            seen.counts["runs"] += 1
    return seen


KINDS = ("torn", "lost", "absent", "strays", "not continued", "not exact")


def report(seen: Seen) -> str:
    rows = (
        "kills",
        "inside a save",
        "with a temporary file",
        "ended before the kill",
        "runs",
        "ended bit for bit",
        *KINDS,
    )
    return "\n".join([f"{name:<24}{seen.counts[name]:>6}" for name in rows] + seen.wrong[:20])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=250)
    parser.add_argument("--inside", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    seen = campaign(given.kills, given.inside, given.seed)
    print(report(seen))
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
