"""What it costs to find that nothing has to be done: `doit train EXP=baseline` against doit on an empty dodo.py.

    python tests/bench/noop.py [REPEATS]

Both are measured in turns in one run, so that their ratio holds on a machine whose speed wavers.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
OTHERS = 1000


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        empty, project = Path(folder, "empty"), Path(folder, "project")
        empty.mkdir()
        (empty / "dodo.py").touch()
        project.mkdir()
        shutil.copy(REPO / "dodo.py", project)
        for name in ("configs", "extensions"):
            shutil.copytree(REPO / name, project / name)
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env |= {"PYTHONPATH": str(REPO), "PYTHONPYCACHEPREFIX": str(Path(folder, "pycache"))}
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


def doit(folder, words, env):
    """Wall and processor seconds of one doit."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "doit", *words], cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
