"""No edit that changes what a component does goes unseen: random packages, random edits, and an oracle that runs them.

The whole campaign is `python tests/campaigns/soundness.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"


def test_edits_that_change_behaviour_are_seen() -> None:
    """In a process of its own, since it forks: an exit status of 1 says that something went unseen.

    The largest of the real packages is left to the whole campaign: to read it takes longer than all else here.
    """
    words = ["--edits", "45", "--seed", "3", "--real", "5", "--without", "mpmath"]
    done = subprocess.run([sys.executable, str(CAMPAIGNS / "soundness.py"), *words], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("unseen: 0") == 2
    assert int(done.stdout.split(" edits, ")[1].split()[0]) >= 10, done.stdout


BLIND = """
import sys
sys.path.insert(0, {campaigns!r})
from otrainer.fingerprint import Fingerprints
from otrainer.fingerprint.graph import Graph
{how}
import soundness
print(len(soundness.campaign(40, 3, enough=1).unseen))
"""
WAYS = {
    "effects of imports": "Graph.how_it_acts = lambda self, module, statement: 0",
    "names behind names": "Graph.followed = lambda self, module, statement, chains: iter(())",
    "imported names": "Graph.named = lambda self, *given, **more: iter(())",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_oracle_would_notice_a_fingerprint_that_is_blind(way: str) -> None:
    """A rule that leaves something out lets edits go unseen, and the campaign says so."""
    code = BLIND.format(campaigns=str(CAMPAIGNS), how=WAYS[way])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
