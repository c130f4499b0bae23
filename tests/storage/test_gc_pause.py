"""Pauses of the collector cost nothing, however much a process keeps."""

from __future__ import annotations

import subprocess
import sys

INSIDE = """
import gc, time
from otrainer.storage.gc_pause import collector_paused, keep_all
kept = [[] for _ in range(1_000_000)]
if {keep}:
    keep_all()
start = time.perf_counter()
for _ in range(1000):
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
pauses, start = time.perf_counter() - start, time.perf_counter()
for _ in range(10):
    sum(map(len, kept))
print(pauses, time.perf_counter() - start, gc.get_freeze_count())
"""


def test_a_thousand_pauses_are_cheaper_than_ten_looks_at_what_is_kept() -> None:
    pauses, looks, kept = numbers(keep=True)

    assert pauses < looks
    assert kept >= 1_000_000


def test_a_pause_leaves_nothing_out_of_later_collections() -> None:
    *_, kept = numbers(keep=False)

    assert kept == 0


def numbers(*, keep: bool) -> list[float]:
    code = INSIDE.format(keep=keep)
    return [float(each) for each in subprocess.check_output([sys.executable, "-c", code], text=True).split()]
