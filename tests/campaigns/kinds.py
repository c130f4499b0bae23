"""Each field of what lies on the disk, as each kind of value: no verb breaks, hangs or takes the memory.

`python tests/campaigns/kinds.py` tries 1,500 fields of run.json, records and artifacts, and all leaves of a checkpoint,
and exits with 1 where one ended in anything but an answer or a mistake with its place.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from support import Batches, fit, random_batches, small_model
from trained import ask, lay_out, train

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loggers import JsonLinesLogger
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.file_format import write_container
from otrainer.errors import ConfigError
from otrainer.stages.freshness.decide import decide
from otrainer.stages.freshness.reason import Reasons
from otrainer.storage.experiments import find_experiment
from otrainer.storage.runs.archive import move_aside
from otrainer.tasks.last_run import interrupted_last

SECONDS, ROOM = 20, 3 << 30
NESTED: Any = json.loads("[" * 500 + "]" * 500)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, math.nan, math.inf, 10**400, "", "x", "\x1b[2J\n", "\0", "\ud800", "../../../etc/passwd",
    "/dev/zero", "x" * 5000, [], [None], [[]], {}, {"x": None}, {"": []}, NESTED,
)  # fmt: skip
FILES = (
    "runs/a/run.json", "runs/.kept/a/*/run.json", "runs/a/code/fingerprints.json", "runs/a/code/sources.json",
    "build/a/*.record.json", "build/a/resolved.json", "build/a/sources.json", "build/a/plugins.json",
    "build/a/manifest.json", "build/a/validated.json", "build/a/fit.json", "build/.hashes/*.json",
)  # fmt: skip
Case = tuple[str, Callable[[], object]]


def places(data: Any, path: tuple[Any, ...] = (), levels: int = 4) -> Iterator[tuple[Any, ...]]:
    """The ways to all values, as deep as what otrainer reads of them by name."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items if levels else ():
        yield from places(item, (*path, key), levels - 1)


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same with another value at a place."""
    if not path:
        return value
    if isinstance(data, dict):
        return {key: changed(item, path[1:], value) if key == path[0] else item for key, item in data.items()}
    items = [changed(item, path[1:], value) if index == path[0] else item for index, item in enumerate(data)]
    return tuple(items) if isinstance(data, tuple) else items


def outcome_of(call: Callable[[], object]) -> str | None:
    """What is wrong with how a call ended; None where it gave an answer, or a mistake."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call()
    except ConfigError:
        return None
    except BaseException as error:
        return "".join(traceback.format_exception(error)[-3:])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return None


def verbs(root: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What reads the files of a project without executing a stage."""
    experiment = find_experiment("a", root)
    yield "runs", lambda: ask("runs", root)
    yield "prune", lambda: ask("prune", root)
    yield "prune YES=1", lambda: pruned(root)
    yield "decide", lambda: [decide(stage, experiment, root) for stage in ("resolve", "manifest", "validate", "fit")]
    yield "resume", lambda: interrupted_last(root)


def slow_verbs(root: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Those that resolve the config or read sources, a good half second each: a case has one of them, drawn."""
    experiment = find_experiment("a", root)
    yield "why", lambda: ask("why", root, "a")
    yield "diff", lambda: ask("diff", root, "a", WITH="runs/a")
    yield "show", lambda: ask("show", root, "a")
    yield "reason", lambda: [Reasons(root, whole=True).line(stage, experiment) for stage in ("manifest", "resume")]


def pruned(root: Path) -> None:
    """Remove the kept runs of a copy."""
    with tempfile.TemporaryDirectory() as text:
        for folder in ("runs", "configs"):
            shutil.copytree(root / folder, Path(text) / folder)
        ask("prune", Path(text), YES="1")


def project(folder: Path) -> Path:
    """A trained experiment with a kept run beside it."""
    folder.mkdir()
    root = lay_out(folder)
    train(root)
    shutil.copytree(root / "runs/a", root / "runs/spare")
    move_aside(root / "runs/a")
    (root / "runs/spare").rename(root / "runs/a")
    return root


def file_cases(root: Path, seed: int, count: int) -> Iterator[str]:
    """Try so many fields, and tell of those that broke something."""
    draw = random.Random(seed)
    for path, place, value in drawn_fields(root, draw, count):
        before = path.read_bytes()
        # What reads it next shall take it for what was left, so that nothing but the value is odd.
        path.write_text(json.dumps(changed(read(path), place, value)), encoding="utf-8")
        for verb, call in (*verbs(root), draw.choice([*slow_verbs(root)])):
            if problem := outcome_of(call):
                yield f"{verb}: {path.relative_to(root)} {place} = {value!r:.60}\n{problem}"
        path.write_bytes(before)


def drawn_fields(root: Path, draw: random.Random, count: int) -> Iterator[tuple[Path, tuple[Any, ...], Any]]:
    """Yield so many fields with what to put there: of each file as many as of the others, and of each level in it."""
    names = sorted({path for pattern in FILES for path in root.glob(pattern)})
    levels: dict[Path, list[list[tuple[Any, ...]]]] = {}
    for path in names:
        found = list(places(read(path), levels=6))
        levels[path] = [[place for place in found if len(place) == level] for level in range(7)]
    for _ in range(count):
        path = draw.choice(names)
        yield path, draw.choice(draw.choice([each for each in levels[path] if each])), draw.choice(VALUES)


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def leaves() -> tuple[Any, ...]:
    """A leaf of each kind."""
    strided = torch.zeros(1).expand(2, 3)
    return (
        None, True, -1, 2**70, math.nan, "x", [], [1], {}, {"x": 1}, (), torch.zeros(3), torch.zeros(()),
        torch.full((), math.nan), torch.zeros(2, 2, dtype=torch.complex64), torch.zeros(3, dtype=torch.bool),
        torch.zeros(16, 4, dtype=torch.int64), torch.eye(3).to_sparse(), torch.zeros(3, device="meta"), strided,
        torch.zeros(1).expand(1 << 40),
    )  # fmt: skip


def resume(folder: Path, *, epochs: int, **run: Any) -> None:
    fit(
        small_model(),
        Batches(random_batches(2), random_batches(1)),
        trainer={"max_epochs": epochs},
        optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-3}},
        scheduler={"type": "sched_cls.StepLR", "kwargs": {"step_size": 2}, "interval": "step"},
        callbacks=[ModelCheckpoint(str(folder / "c"), monitor="val_loss", background=False)],
        loggers=[JsonLinesLogger(str(folder / "rows.jsonl"))],
        run=run,
    )


def leaf_cases(folder: Path, seed: int, count: int) -> Iterator[str]:
    """Try so many leaves of a checkpoint, and tell of those that broke something."""
    resume(folder, epochs=1)
    kept, odd = folder / "c/last.pt", folder / "odd.pt"
    content, parts = kept.read_bytes(), load_checkpoint(kept)
    drawn = [(place, value) for place in places(parts, levels=6) if place for value in leaves()]
    for place, value in random.Random(seed).sample(drawn, min(count, len(drawn))):
        with odd.open("wb+") as stream:
            write_container(stream, changed(parts, place, value))
        if problem := outcome_of(partial(resume, folder, epochs=2, resume_from=str(odd))):
            yield f"{'.'.join(map(str, place))} = {value!r:.60}\n{problem}"
        kept.write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--leaves", type=int, default=10**6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, resource.RLIM_INFINITY))
    found = []
    with tempfile.TemporaryDirectory() as text:
        for problem in file_cases(project(Path(text) / "p"), given.seed, given.files):
            print(problem, flush=True)
            found.append(problem)
        os.chdir(text)
        (Path(text) / "l").mkdir()
        for problem in leaf_cases(Path(text) / "l", given.seed, given.leaves):
            print(problem, flush=True)
            found.append(problem)
    print(f"{given.files} fields and {given.leaves} leaves: {len(found)} broke something")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
