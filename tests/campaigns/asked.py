"""Whether a run records all that it asked the file system for: what strace saw, against the records of its stages.

A random world is trained under strace. Each file of it that was opened, each name that was asked for, there or not, and
each folder that was listed has to stand in a record, or follow from one. What otrainer makes itself is left out, and so is
what Python's search for modules asks of the folders on its path, which `worlds.py` tries by shadowing.
`python tests/campaigns/asked.py [--worlds N] [--seed S] [--only FEATURE]` exits with 1 where something was not recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns.world import start
from campaigns.world.make import ALL, drawn, lay_out
from campaigns.world.place import World

CALLS = "openat,open,stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink,readlinkat,getdents64"
CALL = re.compile(r"^\d+ +(\w+)\((?:AT_FDCWD<([^>]*)>|\d+<([^>]*)>)?(?:, )?(?:\"((?:[^\"\\]|\\.)*)\")?(.*)$")
# Places of otrainer's, doit's, git's and Python's own.
OWN = ("build", "runs", "__pycache__", "run.json", "dodo.py", "doit.cfg", "pyproject.toml", ".git", "HEAD", "site")
EXPERIMENT = "configs/experiments/a"  # what `EXP=a` may mean
MODULE = re.compile(r"(\.py|\.pyc|\.so)$")


class Asked(NamedTuple):
    """One question to the file system: what was done, about which path, and whether something was there."""

    how: str
    path: str
    there: bool


@dataclass
class Recorded:
    """All that the records of an experiment's stages name, as absolute paths; `missing` may be there, and was asked for."""

    files: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    listings: set[str] = field(default_factory=set)
    searched: set[str] = field(default_factory=set)


def traced(world: World, trace: Path) -> str:
    """Train under strace, whose lines go to `trace`; what is printed comes back."""
    strace = ["strace", "-f", "-y", "-s", "4096", "-o", str(trace), "-e", f"trace={CALLS}"]
    done = start.real_doit(
        world.root, "train", "EXP=a", environ=world.environ, site_folder=world.site, under=tuple(strace)
    )
    if done.status:
        raise RuntimeError(done.said)
    return done.said


def asked(trace: str, world: World) -> set[Asked]:
    """What was asked about places in the world that are the user's."""
    found = set()
    for line in whole_lines(trace):
        match = CALL.match(line)
        if match is None:
            continue
        name, at, fd, given, rest = match.groups()
        path = place(at or fd or world.root, given or "")
        inside = os.path.relpath(path, world.folder)
        is_users = not inside.startswith(("..", "project/<")) and inside != f"project/{EXPERIMENT}"
        is_users &= not any(part in OWN for part in Path(inside).parts)
        if is_users and not any(flag in rest for flag in ("O_WRONLY", "O_RDWR", "O_CREAT")):
            how = {"getdents64": "listed", "openat": "opened", "open": "opened"}.get(name, "asked for")
            if how == "opened" and Path(path).is_dir():
                how = "asked for"  # as by who seals it; what it holds is told by a listing
            found.add(Asked(how, path, " = -1 E" not in rest))
    return found


def place(folder: str | Path, path: str) -> str:
    """An absolute path without `..`, whose links are left as they are."""
    return os.path.normpath(Path(folder, path))


def whole_lines(trace: str) -> Iterator[str]:
    """The calls, those put together again that another thread's interrupted."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
        elif "resumed>" in line:
            yield begun.pop(thread, "") + line.partition("resumed>")[2]
        else:
            yield line


def recorded(world: World) -> Recorded:
    found, root, searched = Recorded(), str(world.root), set[str]()
    for file in sorted((world.root / "build/a").glob("*.record.json")):
        record = json.loads(file.read_text())
        for name, stamp in record["files"].items():
            (found.missing if stamp is None else found.files).add(place(root, name))
        found.missing |= {place(root, name) for name in record.get("kinds", {})}
        searched |= {place(root, name) for name in record.get("search", {}).get("folders", ())}
        found.listings |= {place(root, name) for name in record.get("listings", {})}
    found.searched = {root, *searched, *(str(world.folder / name) for name in world.pythonpath)}
    found.searched |= {str(Path(path).parent) for path in found.files if path.endswith(".py")}
    found.searched |= {os.path.realpath(folder) for folder in found.searched}
    return found


def unrecorded(questions: set[Asked], known: Recorded) -> list[Asked]:
    """The questions whose answer could change without any record telling."""
    named = known.files | known.missing | known.listings
    named |= {os.path.realpath(path) for path in named}
    on_the_way = {str(parent) for path in (*named, *known.searched) for parent in Path(path).parents}

    def is_known(question: Asked) -> bool:
        how, path, _ = question
        if path in named or any(path.startswith(f"{folder}/") for folder in known.files):
            return True  # a folder of data is recorded with all that lies below
        if how != "opened" and (path in on_the_way or str(Path(path).parent) in known.listings):
            return True  # whether it is there follows from what lies in it, or from the names around it
        return path in known.searched or is_search(question, known.searched)

    return sorted(question for question in questions if not is_known(question))


def is_search(question: Asked, folders: set[str]) -> bool:
    """Whether this may be asked to find a module: by a suffix, or for a folder, where modules are looked for."""
    folder, name = os.path.split(question.path)
    if name.isidentifier():
        return folder in folders and not question.there
    at_init = name.startswith("__init__.") and str(Path(folder).parent) in folders
    return bool(MODULE.search(name)) and (folder in folders or at_init)


def campaign(worlds: int, seed: int, only: str | None) -> dict[str, list[Asked]]:
    """Train so many worlds; returned are those of which something was not recorded."""
    found = {}
    for number in range(worlds):
        name = f"{seed}.{number}"
        with tempfile.TemporaryDirectory() as folder:
            world, trace = World(Path(folder, "world")), Path(folder, "trace")
            features = drawn(Random(name), only)
            lay_out(world, features, None)
            traced(world, trace)
            if left := unrecorded(asked(trace.read_text(), world), recorded(world)):
                kinds = ", ".join(feature.kind for feature in features)
                shown = "".join(f"\n  {each.how} {os.path.relpath(each.path, world.folder)}" for each in left)
                print(f"WRONG world {name} ({kinds}){shown}", flush=True)
                found[name] = left
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[each.__name__ for each in ALL])
    given = parser.parse_args()
    found = campaign(given.worlds, given.seed, given.only)
    print(f"{given.worlds} worlds, not recorded: something of {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
