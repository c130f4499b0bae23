"""Each file that otrainer, doit or git left, as something else: no verb ends in a traceback, hangs or takes the memory.

A file is cut short, empty, garbage, of another format, a folder, a pipe, a device, enormous, a link to nowhere or to
itself, or not readable. Each time doit itself is asked and trains in a copy of a trained project, and once more, which
has to end as the call before it or better. `python tests/campaigns/oddfiles.py` tries all; with `--count 50 --seed 3`
fifty that are drawn. It exits with 1 where any call ended otherwise than with an answer or a mistake that is told.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns.kinds import project
from projects import doit

SECONDS, ROOM = 120, 12 << 30
ENORMOUS = 1 << 40
STATE = "build/.doit.db"
# Of files that are many, one stands for all.
FILES = (
    STATE, f"{STATE}-journal", "build/.code/*", "build/.hashes/*", "build/.manifests/*/*", "build/a/*",
    "runs/.kept/a/*/run.json", "runs/.kept/a/*/checkpoints/last.pt", "runs/.kept/a/*/rows.jsonl",
    "runs/.locks/*", "runs/a/*", "runs/a/checkpoints/*", "runs/a/code/*", "runs/a/code/extensions/parts.py",
    "runs/spare/rows.jsonl", ".git/HEAD", ".git/index", ".git/config", ".git/refs/heads/*",
)  # fmt: skip
# Those whose absence is odd too: that something is in the place of what would be made.
PLACES = (
    f"{STATE}-journal",
    "runs/.locks/a.claim.lock",
    "runs/.locks/a.holder",
    ".git/index.lock",
    "build/a/told.json",
)
QUESTIONS = ("list", "runs", "prune", "why EXP=a", "show EXP=a", "audit EXP=a", "diff EXP=a WITH=runs/a")
TRAININGS = ("train EXP=a", "resume EXP=a", "resume", "validate EXP=a")
Oddity = Callable[[Path, random.Random], None]


def replaced(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes() if path.is_file() else b"x" * 100
    replaced(path, content[: draw.randrange(len(content) or 1)])


def garbage(path: Path, draw: random.Random) -> None:
    replaced(path, draw.randbytes(draw.choice((1, 100, 5000))))


def other_tables(path: Path, _: random.Random) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table doit (task_id text, task_data blob, more int)")
        connection.execute("create table mine (x int)")
    connection.close()


def odd_rows(path: Path, draw: random.Random) -> None:
    """What doit keeps of its tasks, as another kind of value."""
    path.unlink(missing_ok=True)
    values = (
        "[]",
        "null",
        "7",
        '"x"',
        "{",
        '{"file_dep": 7}',
        '{"result:": []}',
        '{"deps:": 3, "checker:": 5}',
        "[" * 5000,
    )
    with sqlite3.connect(path) as connection:
        connection.execute("create table doit (task_id text not null primary key, task_data text not null)")
        for stage in ("resolve", "manifest", "validate", "fit", "resume"):
            connection.execute("insert into doit values (?, ?)", (f"{stage}:a", draw.choice(values)))
    connection.close()


def folder(path: Path, _: random.Random) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def pipe(path: Path, _: random.Random) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def enormous(path: Path, _: random.Random) -> None:
    with path.open("ab") as stream:
        stream.truncate(ENORMOUS)


def link(path: Path, _: random.Random, *, to: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name if to == "." else to)


def forbidden(path: Path, _: random.Random) -> None:
    path.touch()
    path.chmod(0)


ODDITIES: dict[str, Oddity] = {
    "cut": cut, "empty": lambda path, _: replaced(path, b""), "garbage": garbage,
    "an array": lambda path, _: replaced(path, b"[[], 1]"), "sqlite": other_tables, "a folder": folder, "a pipe": pipe,
    "enormous": enormous, "a device": partial(link, to="/dev/zero"), "nothing's": partial(link, to="/dev/full"),
    "nowhere": partial(link, to="nowhere"), "a circle": partial(link, to="."), "forbidden": forbidden,
}  # fmt: skip


def laid_out(root: Path) -> Path:
    """A trained project in a repository of git's, with doit's state, and an experiment that was interrupted last."""
    project(root)
    text = (root / "configs/experiments/base.yaml").read_text()
    logger = "loggers: {_merge_: replace, _value_: [{_type_: log.json_lines, path: '${run.out_dir}/rows.jsonl'}]}"
    (root / "configs/experiments/base.yaml").write_text(
        text.replace("loggers: {_merge_: replace, _value_: []}", logger)
    )
    for words in ("init -q", "add .", "-c user.name=x -c user.email=x@x commit -qm x"):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    for words in ("train EXP=a", "-a train EXP=a"):
        done = doit(root, *words.split())
        assert done.returncode == 0, done.stdout + done.stderr
    return root


def files(root: Path) -> list[str]:
    found = {path for pattern in FILES for path in sorted(root.glob(pattern))[:8] if path.is_file()}
    return sorted({*(path.relative_to(root).as_posix() for path in found), *PLACES})


def cases(root: Path) -> Iterator[tuple[str, str, Oddity]]:
    for name in files(root):
        yield from ((name, what, oddity) for what, oddity in ODDITIES.items())
        if name == STATE:
            yield from ((name, f"odd rows {number}", odd_rows) for number in range(6))


def problem_of(root: Path, words: str) -> str | None:
    """What is wrong with how a call of doit ended; None where it gave an answer, or told a mistake."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))

    command = [sys.executable, "-m", "doit", *words.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    child = subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", preexec_fn=limit, start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, _ = child.communicate()
        return f"more than {SECONDS} s\n{out[-1500:]}"
    is_told = "Traceback" not in out and "OTRAINER_TRACEBACK" not in out and "MemoryError" not in out
    return None if child.returncode in {0, 1, 3} and is_told else f"exit {child.returncode}\n{out[-3000:]}"


def odd_case(original: Path, folder: Path, name: str, oddity: Oddity, seed: str) -> Iterator[str]:
    """Put one oddity into a copy, and yield what calls of doit made of it that they should not."""
    draw, root = random.Random(seed), folder / "p"
    shutil.copytree(original, root, symlinks=True)
    try:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        oddity(path, draw)
        for words in (draw.choice(QUESTIONS), draw.choice(QUESTIONS), draw.choice(TRAININGS), TRAININGS[0]):
            if problem := problem_of(root, words):
                yield f"doit {words}: {problem}"
    finally:
        shutil.rmtree(root)


def campaign(count: int, seed: int) -> list[str]:
    found = []
    with tempfile.TemporaryDirectory() as text:
        original = laid_out(Path(text).resolve() / "original")
        drawn = list(cases(original))
        random.Random(seed).shuffle(drawn)
        for name, what, oddity in drawn[:count]:
            for problem in odd_case(original, Path(text), name, oddity, f"{seed} {name} {what}"):
                print(f"{name} as {what}: {problem}\n", flush=True)
                found.append(problem)
        print(f"{len(drawn[:count])} files of {len(drawn)}: {len(found)} calls broke")
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10**6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    return 1 if campaign(given.count, given.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
