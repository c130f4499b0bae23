"""Small experiments at random train to what plain torch trains to, and to the same bits when stopped twice.

`python tests/campaigns/true.py [--count N] [--first SEED]` tries 500, each also spoiled by a mistake that has to be
refused before a step, and says what became of them and how often each choice was tried; with `--shrink` each that is
wrong is made as plain as it can be. Exits with 1 where one was wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from campaigns.small.draw import Experiment, coverage, draw, shrink
from campaigns.small.judge import LOOSE, Verdict, judge
from campaigns.small.mistakes import MISTAKES, refusal


def verdict(drawn: Experiment) -> Verdict:
    """What becomes of an experiment; an exception is a difference too."""
    try:
        return judge(drawn)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        first = str(error).strip().partition("\n")[0]
        return Verdict([f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {first}"])


def is_wrong(drawn: Experiment, *, like: str) -> bool:
    """Whether an experiment is wrong in the same way."""
    return "; ".join(verdict(drawn).differs).startswith(like)


def mistake_of(seed: int) -> str:
    return list(MISTAKES)[seed % len(MISTAKES)]


def refused(drawn: Experiment, mistake: str) -> str:
    """What is wrong with how a mistake was met; empty where it was refused as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        return refusal(drawn, mistake, Path(folder))


def report(drawn: Experiment, found: Verdict, *, smaller: bool) -> None:
    wrong = "; ".join(found.differs)
    print(f"seed {drawn.seed}, stopped at {found.stops}: {wrong[:600]}\n    {drawn}", flush=True)
    if smaller:
        small = shrink(drawn, partial(is_wrong, like=wrong.partition(":")[0]))
        print(f"    as plain as it gets: {small}: {'; '.join(verdict(small).differs)[:300]}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shrink", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("otrainer").setLevel(logging.ERROR)
    became: Counter[str] = Counter()
    experiments = [draw(seed) for seed in range(given.first, given.first + given.count)]
    for drawn in experiments:
        found = verdict(drawn)
        became[found.kind] += 1
        became["tensors held to rounding"] += len(found.spreads) - found.loose
        became[f"tensors within more than {LOOSE:.0e}, where rounding grows"] += found.loose
        if found.differs:
            report(drawn, found, smaller=given.shrink)
        wrong = refused(drawn, mistake_of(drawn.seed))
        became["mistakes met otherwise" if wrong else "mistakes refused"] += 1
        if wrong:
            print(f"seed {drawn.seed}, {mistake_of(drawn.seed)}: {wrong[:300]}\n    {drawn}", flush=True)
    print(*(f"{times:7} {what}" for what, times in became.most_common()), sep="\n")
    for name, counted in coverage(experiments).items():
        print(f"{name}: {', '.join(f'{value} {times}' for value, times in counted.most_common())}")
    return 1 if became["wrong"] + became["mistakes met otherwise"] else 0


if __name__ == "__main__":
    sys.exit(main())
