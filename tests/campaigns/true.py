"""Small experiments at random train to what plain torch trains to, and to the same bits when stopped twice.

`python tests/campaigns/true.py [--count N] [--first SEED]` tries 500 and prints what became of them; with `--shrink`
each that is wrong is made as plain as it can be. Exits with 1 where one was wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from campaigns.small.draw import Experiment, draw, shrink
from campaigns.small.judge import judge


def told(drawn: Experiment) -> str:
    """What is wrong with an experiment, in a line; empty where nothing is."""
    try:
        return "; ".join(judge(drawn).differs)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error).strip().splitlines()[:1]}"
        )


def is_wrong(drawn: Experiment, *, like: str) -> bool:
    return told(drawn).startswith(like)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shrink", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    became: Counter[str] = Counter()
    for seed in range(given.first, given.first + given.count):
        drawn, start = draw(seed), time.perf_counter()
        wrong = told(drawn)
        became["wrong" if wrong else "right"] += 1
        if wrong:
            print(f"seed {seed} ({time.perf_counter() - start:.1f} s): {wrong[:600]}\n    {drawn}", flush=True)
            if given.shrink:
                small = shrink(drawn, partial(is_wrong, like=wrong.partition(":")[0]))
                print(f"    as plain as it gets: {small}: {told(small)[:300]}", flush=True)
    print(dict(became))
    return 1 if became["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
