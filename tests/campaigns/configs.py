"""What any config must come to, whatever it holds: the oracle of `trees.py` and `guided.py`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "config"))

import bounded

SEPARATOR = b"\xff"  # no part of UTF-8: what follows it is another file, or the value of a variable
NAMES = ("exp", "b", "c")
MEMORY = bounded.MEGABYTES + bounded.peak() / 2**20


class LawlessError(AssertionError):
    """A config of which something came that must not."""


def judge_files(files: Mapping[str, bytes], env: Mapping[str, str]) -> str:
    """What a config in the working directory comes to, by libyaml: `resolved`, or the first title. Raises LawlessError."""
    for name in NAMES:
        path = Path(f"{name}.yaml")
        path.write_bytes(files[name]) if name in files else path.unlink(missing_ok=True)
    start = time.process_time()
    title, artifacts = bounded.outcome("exp.yaml", env)
    other, read_otherwise = bounded.outcome("exp.yaml", env, pure=True)
    seconds, megabytes = time.process_time() - start, bounded.peak() / 2**20
    if seconds > 2 * bounded.SECONDS or megabytes > MEMORY:
        raise LawlessError(f"took {seconds:.1f} s and {megabytes:.0f} MB")
    if artifacts and artifacts != bounded.outcome("exp.yaml", env)[1]:
        raise LawlessError("resolved to other bytes the second time")
    # Where an empty value stands, the parsers do not agree.
    if artifacts and read_otherwise and artifacts["resolved.json"] != read_otherwise["resolved.json"]:
        raise LawlessError("the parsers read it differently")
    return title if title == other else f"{title} / {other}"


def parts(content: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files and the environment that one input of a fuzzer stands for."""
    pieces = content.split(SEPARATOR, len(NAMES))
    env = {"J": os.fsdecode(pieces[3])} if len(pieces) > len(NAMES) else {}
    return dict(zip(NAMES, pieces, strict=False)), env


def enter_folder() -> tempfile.TemporaryDirectory:
    """A folder in memory, where there is one, as the working directory."""
    shared = "/dev/shm"  # noqa: S108
    folder = tempfile.TemporaryDirectory(dir=shared if Path(shared).is_dir() else None)
    os.chdir(folder.name)
    return folder
