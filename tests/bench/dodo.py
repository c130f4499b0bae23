"""What otrainer promises to cost, measured: `doit -f tests/bench/dodo.py list` shows the benchmarks there are.

Each but `house` prints ratios against its alternative, taken in turns in one run, since machines waver.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = (
    "resolve",
    "noop",
    "validate",
    "first_step",
    "fingerprint",
    "step",
    "checkpoint",
    "memory",
    "compiled",
    "meta",
    "house",
)
DOIT_CONFIG = {"verbosity": 2, "dep_file": str(HERE.parents[1] / "build" / ".bench.db")}


def sentence(name):
    """The first line of a benchmark's own description."""
    return (HERE / f"{name}.py").read_text(encoding="utf-8").lstrip('"').partition("\n")[0]


def task_bench():
    """Measure what otrainer promises to cost."""
    for name in BENCHMARKS:
        yield {
            "basename": name,
            "actions": [[sys.executable, str(HERE / f"{name}.py")]],
            "doc": sentence(name),
            "uptodate": [False],
        }
