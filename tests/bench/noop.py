"""What it costs to find that nothing has to be done: `doit train EXP=baseline` against doit on an empty dodo.py.

    python tests/bench/noop.py [REPEATS]

Both are measured in turns in one run, so that their ratio holds on a machine whose speed wavers.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from support import doit, make_project

OTHERS = 1000


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project, env = make_project(folder)
        empty = Path(folder, "empty")
        empty.mkdir()
        (empty / "dodo.py").touch()
        line = ["train", "EXP=baseline"]
        for _ in range(2):  # the first trains, the second leaves compiled modules behind
            doit(project, line, env)
        doit(empty, [], env)
        compare("nothing to do", (empty, []), (project, line), env, repeats)
        text = (project / "configs" / "experiments" / "baseline.yaml").read_text()
        for number in range(OTHERS):
            (project / "configs" / "experiments" / f"other{number}.yaml").write_text(text)
        compare(f"the same with {OTHERS} other experiments", (empty, []), (project, line), env, repeats)


def compare(title, base, candidate, env, repeats):
    """Print medians of both, wall and processor time, and their ratios."""
    pairs = [(doit(*base, env), doit(*candidate, env)) for _ in range(repeats)]
    print(title)
    for index, kind in enumerate(("wall", "cpu")):
        first = statistics.median(pair[0][index] for pair in pairs)
        second = statistics.median(pair[1][index] for pair in pairs)
        print(f"  {kind}: doit alone {first * 1e3:.1f} ms, otrainer {second * 1e3:.1f} ms, ratio {second / first:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
