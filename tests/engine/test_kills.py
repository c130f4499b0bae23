"""Real kills and failing system calls: what was saved stays, and nothing is left over.

The whole campaigns are `python tests/campaigns/kills.py`, `syscalls.py`, `powercuts.py` and `flips.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"
UNUSABLE = 2


def campaign(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since it forks: an exit status of 1 says that a promise was broken."""
    return subprocess.run([sys.executable, str(CAMPAIGNS / name), *words], capture_output=True, text=True)


def test_a_run_that_is_killed_again_and_again_ends_bit_for_bit() -> None:
    done = campaign("kills.py", "--kills", "12", "--inside", "3", "--seed", "3")

    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert int(counts["kills"]) >= 12
    assert int(counts["inside a save"]) >= 3
    assert counts["ended bit for bit"] == counts["runs"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_whatever_system_call_of_a_save_fails_or_is_the_last_one_the_checkpoint_stays() -> None:
    """SIGKILL, ENOSPC and EIO at one call of each kind, a full disk, and a read-only one."""
    done = campaign("syscalls.py", "--one-a-kind")
    if done.returncode == UNUSABLE:
        pytest.skip(done.stdout.strip())

    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("openat", "write", "fsync", "rename", "link", "close"):
        for fault in ("kill", "ENOSPC", "EIO"):
            assert f"{fault} at {name} " in done.stdout


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_whatever_a_power_cut_leaves_of_a_run_some_moment_of_it_allowed() -> None:
    """What was not synced is dropped, torn or filled with zeros; a training that syncs less is noticed."""
    done = campaign("powercuts.py", "--cuts", "60", "--continued", "0")
    if done.returncode == UNUSABLE:
        pytest.skip(done.stdout.strip())

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["cuts", "60"]


def test_no_changed_bit_of_a_runs_checkpoint_goes_unnoticed() -> None:
    done = campaign("flips.py", "--flips", "250", "--every", "61")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 unnoticed") == 4


BLIND = """
import sys
sys.path.insert(0, {campaigns!r})
from otrainer.engine.checkpoint import writer
{how}
import kills
print(len(kills.campaign(40, 10, 5, enough=1).wrong))
"""
WAYS = {
    "files written in place": "writer.atomic_file = lambda path: open(path, 'w+b')",
    "a sweep that removes nothing": "from otrainer.components.callbacks import model_checkpoint as saves\n"
    "saves.sweep = lambda folder: None",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_campaign_would_notice_a_promise_that_is_broken(way: str) -> None:
    code = BLIND.format(campaigns=str(CAMPAIGNS), how=WAYS[way])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
