"""What the first `doit train` costs until its first optimizer step, against a plain script that does the same.

    python tests/bench/first_step.py [REPEATS]

Budget: 1.3x. Both have their modules compiled, as after an installation that was used before; nothing is built yet.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from support import doit, make_project, timed

STAMP = "first_step.txt"
PLUGIN = f"""\
import time


class FirstStep:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 1:
            open("{STAMP}", "w").write(repr(time.time()))


def register(registry):
    registry.register_module("cb.first_step", FirstStep)
"""
EXPERIMENT = """\
defaults: [baseline.yaml]
imports: [extensions.first_step]
run: {name: first_step}
callbacks: {_merge_: append, _value_: [{_type_: cb.first_step}]}
"""
SCRIPT = f"""\
import time
import torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Linear(64, 16))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
x, y = torch.randn(640, 32), torch.randn(640, 16)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)
for x, y in data:
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    open("{STAMP}", "w").write(repr(time.time()))
    break
"""


def main(repeats):
    with tempfile.TemporaryDirectory() as folder:
        project, env = make_project(folder)
        (project / "extensions" / "first_step.py").write_text(PLUGIN)
        (project / "configs" / "experiments" / "first.yaml").write_text(EXPERIMENT)
        (project / "plain.py").write_text(SCRIPT)
        plain, otrainer = [], []
        for _ in range(repeats + 1):
            plain.append(until_first_step(project, lambda: timed(["plain.py"], project, env)))
            for name in ("build", "runs"):
                shutil.rmtree(project / name, ignore_errors=True)
            otrainer.append(until_first_step(project, lambda: doit(project, ["train", "EXP=first"], env)))
        first, second = statistics.median(plain[1:]), statistics.median(otrainer[1:])
        print(f"plain script {first:.2f} s, first doit train {second:.2f} s, ratio {second / first:.2f}")


def until_first_step(project, run):
    start = time.time()
    run()
    return float(Path(project, STAMP).read_text()) - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
