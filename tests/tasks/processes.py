"""Real doit processes in small projects, where stages that only log stand in the place of training."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
STUB = Path(__file__).with_name("stub")
DEADLINE_S = 60


@dataclass(frozen=True)
class Ran:
    """What a finished doit said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """doit's own lines: stages that executed or were up to date."""
        return [line for line in self.out.splitlines() if line.startswith((".  ", "-- "))]


@dataclass(frozen=True)
class SmallProject:
    """A folder with the repository's dodo.py and experiments of `key: value` lines."""

    root: Path

    def write(self, name: str, text: str = "lr: 1\n") -> Path:
        path = self.root / "configs" / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": f"{STUB}{os.pathsep}{REPO}"}

    def doit(self, *words: str, **options) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "doit", *words],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            **options,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """doit in a process group of its own, as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "doit", *words],
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def executed(self) -> list[str]:
        """The stages that ran since this was asked last, as `stage experiment`."""
        return [line.rpartition(" ")[0] for line in self.taken()]

    def taken(self) -> list[str]:
        log = self.root / "log.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


def is_running(pid: int) -> bool:
    """Whether `pid` is there and not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(holds: Callable[[], bool], otherwise: str = "it never came to hold") -> None:
    """Wait until `holds` says so."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def until_gone(pid: int) -> None:
    """Wait until the process has ended."""
    until(lambda: not is_running(pid), f"process {pid} lives on")
