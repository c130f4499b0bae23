"""Every system call by which a checkpoint is saved fails, or is the last one of its process: what was saved stays.

strace, attached to a forked training, injects SIGKILL, ENOSPC or EIO at one call after the other. In each case
`last.pt` and `previous.pt` have to load; an error has to end the run with words that name the file, and leave no
temporary one. `python tests/campaigns/syscalls.py` tries all of them, `--one-a-kind` the first one of each name,
`--background` those of saves that a thread writes while training goes on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from kills import Seen, Told, fork, step_of, temporary
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.state import Progress, TrainState
from otrainer.errors import ConfigError

CALL = re.compile(r"^(\d+) +(\w+)\((.*)")
FAULTS = {"kill": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
TITLE = "checkpoint not saved"
SAVED_ONCE, EPOCHS = 1, 2


@dataclass(frozen=True)
class Call:
    """A system call of a save: its name, which one of that name it is in its thread, and how strace shows it."""

    name: str
    when: int
    text: str


def train(folder: Path, epochs: int, told: Told | None = None, *, background: bool = False) -> None:
    """Epochs of one step; each is saved after its step (under two names), at its end, and when fit ends."""
    last, told = folder / "last.pt", told or Told()
    progress = Progress(on_output=lambda: told.tell(progress.saved[0] if progress.saved else 0, 0))
    fit(
        small_model(),
        Batches(random_batches(1)),
        trainer={"max_epochs": epochs},
        optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-3}},
        callbacks=[ModelCheckpoint(str(folder), every_n_steps=1, background=background)],
        run={"progress": progress, **({"resume_from": str(last)} if last.exists() else {})},
    )


def under_strace(folder: Path, told: Told, *options: str, background: bool) -> tuple[int, str, str]:
    """Train on as a child that strace looks at: how it ended, what it said, and what strace saw."""
    said, seen = folder.with_suffix(".said"), folder.with_suffix(".strace")

    def work() -> None:
        signal.sigwait({signal.SIGUSR1})  # no call that strace would count
        try:
            train(folder, EPOCHS, told, background=background)
        except ConfigError as error:
            said.write_text(f"{error.findings[0].title} ── {error}")
        except BaseException as error:
            said.write_text(f"{type(error).__name__}: {error}")

    said.write_text("")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    child = fork(work)
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(seen), "-e", "trace=%file,%desc", *options, "-p", str(child)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        attached = strace.stderr.readline()
        os.kill(child, signal.SIGUSR1 if "attached" in attached else signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        strace.stderr.read()
    if "attached" not in attached:
        raise OSError(attached)
    return status, said.read_text(), seen.read_text()


def calls_of(trace: str, folder: Path) -> list[Call]:
    """The calls in `folder` from the first temporary file on."""
    counts, found, begun = Counter[tuple[str, str]](), [], False
    for line in trace.splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        thread, name, text = match.groups()
        counts[thread, name] += 1
        begun |= "O_CREAT" in text and str(folder) in text
        if begun and str(folder) in text:
            found.append(Call(name, counts[thread, name], text))
    return found


def unsynced(calls: list[Call], folder: Path) -> list[str]:
    """Renames that a power cut may undo: before one, the file has to be on the disk, and before the next save the folder."""
    wrong, written, waiting = [], set(), []
    for call in calls:
        path = (re.findall(r"<(/[^>]*)>|\"(/[^\"]*)\"", call.text.replace("AT_FDCWD", "")) or [("", "")])[0]
        named = path[0] or path[1]
        if call.name == "write":
            written.add(named)
        elif call.name == "fsync":
            written.discard(named)
            waiting = [] if named == str(folder) else waiting
        elif "O_CREAT" in call.text:
            wrong += [f"not on the disk when the next save began: {text}" for text in waiting]
        elif call.name.startswith("rename"):
            waiting.append(call.text)
            wrong += [f"renamed before it was on the disk: {call.text}"] * (named in written)
    return wrong + [f"not on the disk in the end: {text}" for text in waiting]


def hits_elsewhere(trace: str, *, background: bool) -> bool:
    """Whether a fault met the thread that trains as well, which saves nothing then: strace counts in each by itself."""
    training = trace.split(maxsplit=1)[0]
    return background and any("(INJECTED)" in line and line.split()[0] == training for line in trace.splitlines())


def one_fault(before: Path, folder: Path, call: Call, fault: str, seen: Seen, *, background: bool) -> None:
    """Inject a fault at a call of a training that goes on from `before`, and look at what it leaves."""
    shutil.copytree(before, folder)
    told = Told()
    injection = f"inject={call.name}:{FAULTS[fault]}:when={call.when}"
    status, said, trace = under_strace(folder, told, "-e", injection, background=background)
    where = f"{fault} at {call.name} {call.when} ({call.text[:150]})"
    hit = os.WIFSIGNALED(status) if fault == "kill" else "(INJECTED)" in trace
    seen.counts[f"{fault} at {call.name}"] += hit
    if not hit:
        seen.note("missed", where)
    step, kept = step_of(folder / "last.pt", seen), folder / "previous.pt"
    if step < max(SAVED_ONCE, told.durable) or (kept.exists() and step_of(kept, seen) < SAVED_ONCE):
        seen.note("lost", f"{where}: last.pt has step {step}, and {told.durable} was durable")
    if fault != "kill":
        if hits_elsewhere(trace, background=background):
            seen.counts["met the training as well"] += 1
        elif said and not (said.startswith(TITLE) and str(folder) in said):
            seen.note("badly told", f"{where}: {said}")
        seen.counts["errors told" if said else "errors got over"] += 1
        if temporary(folder):
            seen.note("strays", f"{where}: {temporary(folder)}")
    beginning = SimpleNamespace(callbacks=(), state=TrainState(), run=SimpleNamespace(resume_from=None))
    ModelCheckpoint(str(folder)).on_fit_start(beginning)
    if temporary(folder):
        seen.note("strays", f"{where}: after the next start {temporary(folder)}")
    shutil.rmtree(folder)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes at `folder`. Raises OSError where this process may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        raise OSError(mounted.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def disks(folder: Path, seen: Seen) -> None:
    """A disk that is full in the middle of a later save, and one that becomes read-only between two saves."""
    train(folder / "measured", SAVED_ONCE)
    size = (folder / "measured/last.pt").stat().st_size
    for kind, room in (("full disk", int(size * 4.5)), ("read-only disk", size * 40)):
        disk = folder / kind.replace(" ", "-")
        with small_disk(disk, room):
            train(disk / "run", SAVED_ONCE)
            if kind == "read-only disk":
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            try:
                train(disk / "run", EPOCHS * 5)
                seen.note("badly told", f"{kind}: nothing was said")
            except ConfigError as error:
                if error.findings[0].title != TITLE or str(disk / "run") not in str(error):
                    seen.note("badly told", f"{kind}: {error}")
            except OSError as error:
                seen.note("badly told", f"{kind}: {type(error).__name__}: {error}")
            except RuntimeError as error:
                seen.note("badly told", f"{kind}: {type(error).__name__}: {error}")
            if step_of(disk / "run/last.pt", seen) < SAVED_ONCE or temporary(disk / "run"):
                seen.note("lost", f"{kind}: {sorted(disk.rglob('*'))}")
        seen.counts[kind] += 1


def campaign(*, one_a_kind: bool, background: bool) -> Seen:
    torch.set_num_threads(1)
    seen = Seen()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text).resolve()
        train(folder / "before", SAVED_ONCE)
        train(folder / "warm", EPOCHS)
        shutil.copytree(folder / "before", folder / "run")
        _, said, trace = under_strace(folder / "run", Told(), background=background)
        assert not said, said
        calls = calls_of(trace, folder / "run")
        for wrong in unsynced(calls, folder / "run"):
            seen.note("not durable", wrong)
        shutil.rmtree(folder / "run")
        firsts = {call.name: call for call in reversed(calls)}
        for call in firsts.values() if one_a_kind else calls:
            for fault in FAULTS:
                one_fault(folder / "before", folder / "run", call, fault, seen, background=background)
        try:
            disks(folder, seen)
        except OSError as error:
            print(f"no small disks: {error}")
    return seen


def refusal() -> str:
    """Why strace cannot be used here, in a line; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one-a-kind", action="store_true")
    parser.add_argument("--background", action="store_true")
    given = parser.parse_args()
    if why := refusal():
        print(why)
        return 2
    seen = campaign(one_a_kind=given.one_a_kind, background=given.background)
    for name in sorted(seen.counts):
        print(f"{name:<28}{seen.counts[name]:>6}")
    print(*seen.wrong[:40], sep="\n")
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
