"""No edit of what lies around a project goes unseen that changes what a fresh copy trains: random worlds and an oracle.

The whole campaigns are `python tests/campaigns/worlds.py` and `python tests/campaigns/asked.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"


def campaign(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since it forks: an exit status of 1 says that something was wrong."""
    command = [sys.executable, str(CAMPAIGNS / name), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_edits_that_change_what_is_trained_are_seen_and_foretold() -> None:
    done = campaign("worlds.py", "--world", "50.0")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "unseen: 0, disagreements of why and train: 0, unsettled: 0" in done.stdout
    assert int(done.stdout.partition(" change what is trained")[0].split()[-1]) >= 4, done.stdout


def test_the_campaign_would_notice_a_project_that_sees_nothing() -> None:
    """Records that never differ let edits go unseen, and the campaign says so."""
    blind = "from otrainer.storage import records; records.reasons = lambda *given, **more: iter(()); import worlds; "
    path = f"import sys; sys.path.insert(0, {str(CAMPAIGNS)!r}); "
    code = f"{path}sys.argv[1:] = ['--edits', '3', '--only', 'helper']; {blind}sys.exit(worlds.main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG unseen: " in done.stdout


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_all_that_a_run_asks_the_file_system_for_is_recorded() -> None:
    done = campaign("asked.py", "--worlds", "1", "--seed", "9")

    assert done.returncode == 0, done.stdout + done.stderr
