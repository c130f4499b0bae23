"""No config crashes, hangs, fills the memory or fails in any other way than by a ConfigError with a place.

The table is `bombs.py`, with the files of `corpus/`; one process judges all of it within bounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from . import bombs, bounded

LABELS = [*bombs.CASES, *(name + bounded.PURE for name in bombs.SLOW_PARSER)]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What became of each case, by its label."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "bounded.py"), str(here / "bombs.py")],
        cwd=tmp_path_factory.mktemp("bombs"), env={"PYTHONPATH": str(here.parents[1])},
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} after {lines[-1:]}"
    return {line["name"]: line for line in lines if "name" in line}


@pytest.mark.parametrize("label", LABELS)
def test_every_case_ends_as_it_should_within_bounds(verdicts, label):
    name = label.removesuffix(bounded.PURE)
    expected, verdict = bombs.EXPECTED[name], verdicts[label]
    if isinstance(expected, list):
        expected = expected[label != name]
    assert verdict["title"] == expected
    assert verdict["seconds"] < bounded.SECONDS
    assert verdict["megabytes"] < bounded.MEGABYTES


def test_every_file_of_the_corpus_is_expected_to_become_something():
    assert {path.stem for path in bombs.CORPUS.glob("*.yaml")} == {name for name, _ in bombs.files()}
