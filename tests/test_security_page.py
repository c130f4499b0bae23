"""SECURITY.md says of every verb what it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text()
VERBS = re.findall(r"^def task_(\w+)", (ROOT / "dodo.py").read_text(), re.MULTILINE)


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("verb", [name.replace("_", "-") for name in VERBS])
def test_what_a_verb_runs_is_said_once(verb: str) -> None:
    rows = [line for line in section("What each verb runs").splitlines() if line.startswith("| `")]

    assert sum(f"`{verb}`" in row.split("|")[1] for row in rows) == 1


def test_it_is_a_page() -> None:
    assert len(TEXT.splitlines()) < 120
