"""A project to measure in, and processes whose time is taken."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def quiet_place():
    """Where files are made in memory, or where TMPDIR says; None where there is no such place.

    ext4 without a journal takes up to a millisecond to make a file for half a minute after others were removed, by
    whomever, which would say more of the machine than of otrainer.
    """
    return os.environ.get("TMPDIR") or next(filter(os.path.isdir, ["/dev/shm"]), None)  # noqa: S108


def make_project(folder):
    """The shipped project in a folder of its own, and the environment in which doit runs there."""
    project = Path(folder, "project")
    project.mkdir()
    shutil.copy(REPO / "dodo.py", project)
    for name in ("configs", "extensions"):
        shutil.copytree(REPO / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPATH": str(REPO), "PYTHONPYCACHEPREFIX": str(Path(folder, "pycache")), "OMP_NUM_THREADS": "1"}
    return project, env


def timed(command, cwd, env):
    """Wall and processor seconds of one process with its children; it has to succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def doit(folder, words, env):
    return timed(["-m", "doit", *words], folder, env)


def medians(pairs):
    """The medians of walls and of processor times."""
    return [statistics.median(pair[index] for pair in pairs) for index in (0, 1)]
