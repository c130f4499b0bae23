"""Campaigns that take minutes or hours, whose short versions are in the suite: `doit -f tests/campaigns/dodo.py list`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CAMPAIGNS = (
    "trees",
    "guided",
    "soundness",
    "kills",
    "syscalls",
    "powercuts",
    "kinds",
    "oddfiles",
    "flips",
    "exact",
    "true",
    "worlds",
    "asked",
    "pythons",
)
DOIT_CONFIG = {"verbosity": 2, "dep_file": str(HERE.parents[1] / "build" / ".campaigns.db"), "default_tasks": []}


def sentence(name):
    """The first line of a campaign's own description."""
    return (HERE / f"{name}.py").read_text(encoding="utf-8").lstrip('"').partition("\n")[0]


def task_campaign():
    """Look for what breaks a promise."""
    for name in CAMPAIGNS:
        yield {
            "basename": name,
            "actions": [[sys.executable, str(HERE / f"{name}.py")]],
            "doc": sentence(name),
            "uptodate": [False],
        }
