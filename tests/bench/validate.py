"""What checking 1,000 small experiments costs: the first time, when nothing changed, and when one did.

    python tests/bench/validate.py [EXPERIMENTS]

Budgets on a fast machine: the first check at most 4 ms each beyond one import of torch, by the clock and everything
else included, such as the one manifest; when nothing changed, at most 1 s for 1,000; when one changed, at most 3x of
what that one costs alone plus what doit needs to list them. Each experiment has a model of its own, and optimizer and
run, so that nothing of these is judged once for all. `-n 2` is there to compare: it imports torch twice, while without
it two processes share the work as well.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from support import doit, make_project, quiet_place, timed

# As two people's sweeps look: a common base, values of their own.
TEXT = """\
# Number {number} of a sweep.
defaults: [../baseline.yaml]
run: {{name: small{number}, seed: {number}}}
model:
  sequential:
    layers: {{_merge_: replace, _value_: [{{_type_: mlp, dims: [32, {width}, 16]}}]}}
optimizer: {{kwargs: {{lr: {rate}}}}}
"""


def main(count):
    with tempfile.TemporaryDirectory(dir=quiet_place()) as folder:
        sweeps = [make_sweep(Path(folder, name), count) for name in ("single", "double", "one")]
        (project, env), double, small = sweeps
        torch = min(timed(["-c", "import torch"], project, env)[0] for _ in range(3))
        doit(small[0], ["validate", "EXP=sweep/s0"], small[1])  # leaves compiled modules behind
        one = doit(small[0], ["validate", "EXP=sweep/s1"], small[1])[0]
        whole = doit(project, ["validate"], env)[0]
        print(f"import torch {torch:.2f} s, one experiment alone {one:.2f} s")
        print(f"the first check of {count}: {whole:.2f} s, {(whole - torch) / count * 1e3:.2f} ms each beyond torch")
        listing = min(doit(project, ["list", "--all"], env)[0] for _ in range(3))
        print(f"nothing changed: {min(doit(project, ['validate'], env)[0] for _ in range(3)):.2f} s")
        changed(project, 1)
        alone = doit(project, ["validate", "EXP=sweep/s1"], env)[0]
        changed(project, 2)
        among = doit(project, ["validate"], env)[0]
        bound = 3 * alone + listing
        print(f"one changed: {among:.2f} s; alone {alone:.2f} s, doit list {listing:.2f} s, bound {bound:.2f} s")
        two = doit(double[0], ["-n", "2", "validate"], double[1])[0]
        print(f"the first check with -n 2: {two:.2f} s, {two / whole:.2f}x of -n 1")


def make_sweep(folder, count):
    """A project with nothing but a sweep of so many experiments over the baseline, and its environment."""
    folder.mkdir()
    project, env = make_project(folder)
    experiments = project / "configs" / "experiments"
    for path in experiments.glob("*.yaml"):
        if path.stem != "baseline":
            path.unlink()
    (experiments / "sweep").mkdir()
    for number in range(count):
        text = TEXT.format(number=number, width=8 + number, rate=f"{1e-4 * (1 + number):.4f}")
        (experiments / "sweep" / f"s{number}.yaml").write_text(text)
    # Compiled modules are shared.
    return project, {**env, "PYTHONPYCACHEPREFIX": str(folder.parent / "pycache")}


def changed(project, number):
    """Another seed of one experiment, written long enough ago for its time to tell."""
    path = project / "configs" / "experiments" / "sweep" / "s1.yaml"
    path.write_text(path.read_text().replace("seed: ", f"seed: 1{number}"))
    old = time.time() - 60 + number
    os.utime(path, (old, old))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
