"""The power goes at any moment of a training: what was not synced is lost in every way that a file system allows.

A real training is watched by strace. Then, for one cut after the other, the folder of its run is rebuilt with the file
operations up to there, of which those that no fsync had sealed are dropped, kept, torn or filled with zeros: names by
the folder's fsync, content by the file's. Whatever comes of it has to be what some moment of the run allowed: each
checkpoint whole, none older than one that was durable, no run.json that names one which is not there, all rows up to the
checkpoint, and for a complete run all rows, its config and its sources. From a sample of them training goes on, to the
weights, rows, config, sources and run.json of a run that nobody cut.
First it is shown to notice a training that seals neither its folders nor its rows nor its config.
`python tests/campaigns/powercuts.py --cuts 400 --continued 20` exits with 1 where anything was violated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from kills import Seen, fork
from syscalls import refusal

from otrainer.components.loggers import json_lines
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment
from otrainer.stages.fit import run_record
from otrainer.storage import process_memory

REPO = Path(__file__).parents[2]
CONFIG = """\
defaults: [baseline.yaml]
imports: [extensions.mine]
run: {name: cut}
trainer: {max_epochs: 3, log_every_n_steps: 1}
data: {steps_per_epoch: 3, val_steps_per_epoch: 1}
callbacks: {_merge_: replace, _value_: [{_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', every_n_steps: 2, keep_last: 2, monitor: val_loss}]}
loggers: {_merge_: replace, _value_: [{_type_: log.json_lines, path: '${run.out_dir}/metrics.jsonl'}]}
"""
RUN, LAST, ROWS = "cut/run.json", "cut/checkpoints/last.pt", "cut/metrics.jsonl"
SAID = ("state", "global_step", "epoch", "metrics", "metrics_step", "files")
CALLS = "openat,write,pwrite64,writev,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync"
CALLS += ",fdatasync,ftruncate,lseek"
LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
OPENED = re.compile(r"<((?:\\x[0-9a-f]{2}|[^>])*)>")


@dataclass
class File:
    """What is on the disk for certain, and what was written since, as (position, bytes); a None cuts it off there."""

    sealed: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def now(self) -> bytes:
        return applied(self.sealed, self.since)


def applied(content: bytes, writes: list[tuple[int, bytes | None]]) -> bytes:
    for at, data in writes:
        if data is None:
            content = content[:at].ljust(at, b"\0")
        else:
            content = content[:at].ljust(at, b"\0") + data + content[at + len(data) :]
    return content


# A change of names: what each of them means from then on (a number of a file, "folder" or None), all at once.
Change = dict[str, int | str | None]


class Disk:
    """The files below a folder as its system calls leave them: names and contents that are sealed, and those that are not."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self.names: Change = {}
        self.sealed: Change = {}
        self.since: list[Change] = []

    def change(self, change: Change) -> None:
        self.names.update(change)
        self.since.append(change)

    def seal_folder(self, folder: str) -> None:
        """Every change of a name in this folder is on the disk; one that touches another folder too goes with it."""
        left = []
        for change in self.since:
            if any(name.rpartition("/")[0] == folder for name in change):
                self.sealed.update(change)
            else:
                left.append(change)
        self.since = left

    def after_cut(self, chance: random.Random) -> dict[str, bytes | None]:
        """What is there afterwards: contents by name, None for a folder."""
        names, way = dict(self.sealed), chance.random()
        keep = chance.randint(0, len(self.since))  # a journal keeps what came first; others keep any of it
        for number, change in enumerate(self.since):
            if (number < keep) if way < 0.4 else (chance.random() < 0.5):
                names.update(change)
        contents = {
            number: self.torn(self.files[number], chance) for number in names.values() if isinstance(number, int)
        }
        whole = {name: what for name, what in names.items() if what is not None}
        # A folder that is lost takes along what is in it.
        kept = {name for name in whole if all(above in whole for above in folders_above(name))}
        return {name: None if whole[name] == "folder" else contents[whole[name]] for name in kept}

    def torn(self, file: File, chance: random.Random) -> bytes:
        if not file.since or chance.random() < 0.25:
            return file.now()
        way, whole = chance.random(), file.now()
        if way < 0.3:
            return file.sealed
        if way < 0.5:  # its size came to the disk, its blocks did not
            return file.sealed[: len(whole)].ljust(len(whole), b"\0")
        kept = [each for each in file.since if chance.random() < 0.6]
        if kept and kept[-1][1]:
            at, data = kept[-1]
            kept[-1] = at, data[: chance.randint(0, len(data))]
        return applied(file.sealed, kept)


def folders_above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


class Replay:
    """Follows the calls of a trace below `root` on a model disk."""

    def __init__(self, root: Path) -> None:
        self.root, self.disk, self.positions = str(root), Disk(), dict[tuple[str, int], int]()
        self.appending = set[tuple[str, int]]()

    def within(self, path: str) -> str | None:
        return os.path.relpath(path, self.root) if path.startswith(f"{self.root}/") else None

    def step(self, name: str, text: str) -> bool:
        """Take one call that succeeded; tell whether it changed anything."""
        paths = [self.within(str(Path(self.root).parent / unhex(each))) for each in TEXT.findall(text)]
        disk = self.disk
        if name == "openat":
            return bool(paths and paths[0]) and self.open(paths[0] or "", text)
        if name in {"write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "lseek"}:
            return self.on_descriptor(name, text)
        if not paths or any(each is None for each in paths):
            return False
        first = str(paths[0])
        if name.startswith("rename"):
            target = str(paths[1])
            moved: Change = {target: disk.names.get(first), first: None}
            for inner in [each for each in disk.names if each.startswith(f"{first}/")]:
                moved |= {target + inner[len(first) :]: disk.names[inner], inner: None}
            same = disk.names.get(target) is disk.names.get(first)
            disk.change({} if same else moved)
        elif name.startswith("link"):
            disk.change({str(paths[1]): disk.names[first]})
        elif name.startswith("mkdir"):
            disk.change({first: "folder"})
        else:
            disk.change({first: None})
        return True

    def open(self, name: str, text: str) -> bool:
        descriptor = int(re.search(r"= (\d+)", text)[1])  # type: ignore[index]
        self.positions[name, descriptor] = 0
        self.appending.discard((name, descriptor))
        if "O_APPEND" in text:
            self.appending.add((name, descriptor))
        disk = self.disk
        if "O_CREAT" in text and disk.names.get(name) is None:
            disk.files.append(File())
            disk.change({name: len(disk.files) - 1})
            return True
        if "O_TRUNC" in text and isinstance(number := disk.names.get(name), int):
            disk.files[number].since.append((0, None))
            return True
        return False

    def on_descriptor(self, name: str, text: str) -> bool:
        descriptor = int(re.match(r"\d+", text)[0])  # type: ignore[index]
        opened = OPENED.search(text)
        path = self.within(unhex(opened[1])) if opened else None
        if path is None:
            return name == "fsync" and opened is not None and self.seal(unhex(opened[1]))
        what = self.disk.names.get(path)
        if name in {"fsync", "fdatasync"}:
            if what == "folder":
                self.disk.seal_folder(path)
            elif isinstance(what, int):
                file = self.disk.files[what]
                file.sealed, file.since = file.now(), []
            return True
        if not isinstance(what, int):
            return False
        file, result = self.disk.files[what], int(re.search(r"= (-?\d+)", text[-40:])[1])  # type: ignore[index]
        place = (path, descriptor)
        if name == "lseek":
            self.positions[place] = result
            return False
        if name == "ftruncate":
            file.since.append((int(text.split(",")[1].strip(" )").split(")")[0]), None))
            return True
        data = b"".join(map(bytes_of, TEXT.findall(text)))[:result]
        at = len(file.now()) if place in self.appending else self.positions.get(place, 0)
        if name == "pwrite64":
            at = int(text.rsplit(",", 1)[1].split(")")[0])
        else:
            self.positions[place] = at + result
        file.since.append((at, data))
        return True

    def seal(self, folder: str) -> bool:
        """The folder of runs itself, and those above it, of which nothing is modelled but their names' being sealed."""
        if folder == self.root:
            self.disk.seal_folder("")
        return folder == self.root


def bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def unhex(text: str) -> str:
    return os.fsdecode(bytes_of(text)) if text.startswith("\\x") else text


def calls_of(trace: str) -> list[tuple[str, str]]:
    """The calls that succeeded, in the order in which they ended."""
    begun, found = dict[str, str](), []
    for line in trace.splitlines():
        if (match := LINE.match(line)) is None:
            continue
        thread, name, text = match.groups()
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        text = begun.pop(thread, "") + text if "resumed>" in line[:60] else text
        if not re.search(r"= -\d+ E[A-Z]+", text[-120:]):
            found.append((name, text))
    return found


def lay_out(root: Path) -> Path:
    for name in ("dodo.py", "pyproject.toml"):
        shutil.copy(REPO / name, root)
    for name in ("configs", "extensions"):
        shutil.copytree(REPO / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "configs/experiments/cut.yaml"
    path.write_text(CONFIG)
    (root / "extensions/mine.py").write_text('"""A source that the run keeps."""\n')
    return path


def train(path: Path) -> None:
    """A run of the experiment as Python starts it, without a word."""
    os.chdir(path.parents[2])
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    torch.set_num_threads(1)
    run_experiment(path)


def traced(root: Path, path: Path, *, broken: bool) -> list[tuple[str, str]]:
    """The calls of a whole training in a process of its own, to which strace is attached before it begins."""
    seen = root / "trace"

    def work() -> None:
        signal.sigwait({signal.SIGUSR1})
        if broken:
            process_memory.put("sealed folders", Everything())
            json_lines.sync_file = lambda *_: None
            run_record.seal_provenance = lambda _: None
        train(path)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    child = fork(work)
    options = ["-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(seen)]
    with subprocess.Popen(["strace", *options, "-p", str(child)], stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        attached = "attached" in strace.stderr.readline()
        os.kill(child, signal.SIGUSR1 if attached else signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        strace.stderr.read()
    if status:
        raise OSError(f"the training that strace was to watch ended with {status}")
    return calls_of(seen.read_text())


class Everything(set[tuple[int, int]]):
    """Folders of which each counts as sealed, so that none ever is."""

    def __contains__(self, _folder: object) -> bool:
        return True


@dataclass(frozen=True)
class Whole:
    """What a run that nobody cut ends with: its weights, what it keeps beside them, and what run.json says."""

    weights: dict[str, torch.Tensor]
    kept: dict[str, bytes]
    said: dict[str, Any]

    @property
    def rows(self) -> bytes:
        return self.kept[ROWS]

    @classmethod
    def of(cls, runs: Path) -> Whole:
        run = json.loads((runs / RUN).read_bytes())
        said = {**{name: run[name] for name in SAID}, "outputs": sorted(run["outputs"])}
        return cls(load_checkpoint(runs / LAST)["model"], kept_in(runs), said)

    def differs(self, other: Whole) -> list[str]:
        """Return what is another."""
        found = [name for name in {**self.kept, **other.kept} if self.kept.get(name) != other.kept.get(name)]
        found += [f"{name} {said}" for name, said in self.said.items() if said != other.said[name]]
        if self.weights.keys() != other.weights.keys():
            return [*found, "weights"]
        return found + [name for name, held in self.weights.items() if not torch.equal(held, other.weights[name])]


def kept_in(runs: Path) -> dict[str, bytes]:
    """Return what lies in the folder of the run, but for its checkpoints and run.json."""
    names = (path.relative_to(runs).as_posix() for path in (runs / "cut").rglob("*") if path.is_file())
    return {name: (runs / name).read_bytes() for name in names if name != RUN and not name.endswith(".pt")}


def place(found: dict[str, bytes | None], runs: Path) -> None:
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir()
    for name in sorted(found):
        content = found[name]
        if content is None:
            (runs / name).mkdir(exist_ok=True)
        else:
            (runs / name).write_bytes(content)


def step_and_rows(path: Path) -> tuple[int, int]:
    state = load_checkpoint(path)
    return int(state["train_state"]["global_step"]), int(state["loggers"][0]["state"]["state_dict"]["bytes"])


def look(runs: Path, durable: int, whole: Whole, where: str, seen: Seen) -> None:
    """Look at what a cut left."""
    step = 0
    for path in sorted((runs / "cut/checkpoints").glob("*.pt")):
        try:
            at, rows = step_and_rows(path)
        except (ConfigError, OSError) as error:
            seen.note("torn", f"{where}: {path.name}: {str(error)[:200]}")
            continue
        step = max(step, at) if path.name == "last.pt" else step
        there = (runs / ROWS).read_bytes() if (runs / ROWS).exists() else b""
        if there[:rows] != whole.rows[:rows]:
            seen.note("rows", f"{where}: {path.name} counts {rows} bytes of rows, {len(there)} are there")
    if step < durable:
        seen.note("lost", f"{where}: last.pt has step {step}, and {durable} was durable")
    if not (runs / RUN).exists():
        if step:
            seen.note("no run.json", f"{where}: last.pt has step {step}")
        return
    try:
        run: dict[str, Any] = json.loads((runs / RUN).read_bytes())
    except ValueError:
        seen.note("torn", f"{where}: run.json")
        return
    if missing := [name for name in run["outputs"] if name.endswith("last.pt") and not (runs / "cut" / name).is_file()]:
        seen.note("named", f"{where}: run.json names {missing}")
    if run["state"] == "complete":
        there = kept_in(runs)
        for name in (name for name, content in whole.kept.items() if there.get(name) != content):
            seen.note("rows" if name == ROWS else "kept", f"{where}: complete, and {name} is not whole")


def durable_step(disk: Disk, folder: Path) -> int:
    """The step of `last.pt` as it is sealed, with every folder above it."""
    number = disk.sealed.get(LAST)
    if not isinstance(number, int) or disk.files[number].since:
        return 0
    path = folder / f"{number}.pt"
    path.write_bytes(disk.files[number].sealed)
    return step_and_rows(path)[0]


def goes_on(root: Path, path: Path, whole: Whole, where: str, seen: Seen) -> None:
    """Train on from what a cut left."""
    left = sorted(path.relative_to(root / "runs").as_posix() for path in (root / "runs").rglob("*"))
    _, status = os.waitpid(fork(lambda: train(path)), 0)
    if status:
        seen.note("not continued", f"{where}: {', '.join(left)}")
    elif found := Whole.of(root / "runs").differs(whole):
        seen.note("not exact", f"{where}: {', '.join(found)}")
    seen.counts["continued"] += 1


def campaign(cuts: int, continued: int, seed: int, *, broken: bool = False) -> Seen:
    torch.set_num_threads(1)
    seen, chance = Seen(), random.Random(seed)
    with tempfile.TemporaryDirectory() as text:
        root = Path(text).resolve()
        path = lay_out(root)
        runs, kept = root / "runs", root / "sealed"
        kept.mkdir()
        calls = traced(root, path, broken=broken)
        whole = Whole.of(runs)
        replay, moments = Replay(runs), 0
        changing = [number for number, (name, text) in enumerate(calls) if replay.step(name, text)]
        if not all(isinstance(replay.disk.names.get(name), int) for name in (RUN, LAST, ROWS)):
            raise AssertionError("the trace does not end with the run's files")
        for name in (LAST, ROWS):
            if replay.disk.files[int(replay.disk.names[name] or 0)].now() != (runs / name).read_bytes():
                raise AssertionError(f"the model has another {name} than the disk")
        at_the_end = cuts // 5  # when nothing is sealed any more
        wanted = Counter([*chance.choices(changing, k=cuts - at_the_end), *changing[-1:] * at_the_end])
        replay = Replay(runs)
        sampled = set(chance.sample(range(cuts), min(continued, cuts)))
        durable = 0
        for number, (name, text) in enumerate(calls):
            if replay.step(name, text) and name == "fsync":
                durable = durable_step(replay.disk, kept)
            for _ in range(wanted[number]):
                where = f"after call {number} of {len(calls)} ({name})"
                place(replay.disk.after_cut(chance), runs)
                look(runs, durable, whole, where, seen)
                if moments in sampled:
                    goes_on(root, path, whole, where, seen)
                moments += 1
        seen.counts["cuts"] = moments
    return seen


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=400)
    parser.add_argument("--continued", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if why := refusal():
        print(why)
        return 2
    blind = campaign(40, 0, given.seed, broken=True)
    seen = campaign(given.cuts, given.continued, given.seed)
    for kind in ("lost", "rows", "kept"):
        if not blind.counts[kind]:
            seen.note("blind", f"nothing is {kind} where folders, rows and the config are never sealed")
    for name in sorted(seen.counts):
        print(f"{name:<24}{seen.counts[name]:>6}")
    print(*seen.wrong[:30], sep="\n")
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
