"""Random configs and mutated ones keep the laws: a result or an error with a place, soon, and the same each time.

The whole campaigns are `python tests/campaigns/trees.py` and `guided.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CAMPAIGNS = HERE.parent / "campaigns"


def campaign(name: str, *options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = ["-c", code] if code else [str(CAMPAIGNS / name), *options]
    path = ":".join(map(str, (HERE.parents[1], CAMPAIGNS)))
    return subprocess.run(
        [sys.executable, *command], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def test_random_trees_resolve_or_are_faulted_and_mean_the_same_to_either_parser():
    done = campaign("trees.py", "--count", "60", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split(" configs, ")[1].split()[0]) >= 1


def test_inputs_that_coverage_leads_to_keep_the_laws():
    pytest.importorskip("atheris")
    done = campaign("guided.py", "--count", "500")
    assert done.returncode == 0, done.stdout + done.stderr


BLIND = """
import otrainer.config.interpolate as interpolate
interpolate.child_of = lambda node, step: node.items[step]
import trees
folder = trees.enter_folder()
print(trees.campaign(60, 3, shrink=False).total())
"""


def test_a_resolver_that_lets_a_path_lead_nowhere_is_found_out():
    done = campaign("", code=BLIND)
    assert "Failing test case" in done.stderr
