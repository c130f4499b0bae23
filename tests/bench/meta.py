"""What looking at a transformer of seven billion parameters costs, with nothing but its shapes.

    python tests/bench/meta.py

Budget: `doit show MODEL=1` at most 5 s and 700 MB beyond a process that imports torch; it builds the model, and runs a
training step of 2,048 tokens over it. Seconds are medians, by the clock and of the processor (two cores that others use
make the clock run); sizes are the processes' largest.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile

from support import doit, make_project, medians, quiet_place, timed

ROUNDS = 3
PLUGIN = '''\
import torch
from torch import nn


class Block(nn.Module):
    """A block of a decoder: attention, then a gated perceptron, each after a norm and added to its input."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0, 0.02)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        y = self.norm2(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))


class Tokens:
    def example_batch(self):
        ids = torch.empty(1, 2048, dtype=torch.int64, device="meta")
        return {"x": ids, "y": ids}

    def train_dataloader(self):
        raise RuntimeError("there is no data here")


class NextToken:
    def __call__(self, *, outputs, targets, batch, stage):
        from otrainer.components.loss import LossOutput

        return LossOutput(nn.functional.cross_entropy(outputs.flatten(0, 1), targets["y"].flatten()))


def register(registry):
    registry.register_module("bench.block", Block)
    registry.register_module("data.tokens", Tokens)
    registry.register_module("loss.next_token", NextToken)
'''
EXPERIMENT = """\
defaults: [../base/runtime.yaml]
imports: [extensions.decoder]
run: {name: decoder, precision: bf16-mixed}
data: {_merge_: replace, _value_: {_type_: data.tokens}}
loss: {_merge_: replace, _value_: {_type_: loss.next_token}}
templates: {block: {_type_: bench.block, width: 4096, heads: 32, hidden: 11008}}
model:
  sequential:
    layers:
      - {_type_: nn.Embedding, num_embeddings: 32000, embedding_dim: 4096}
BLOCKS
      - {_type_: nn.RMSNorm, normalized_shape: 4096}
      - {_type_: nn.Linear, in_features: 4096, out_features: 32000, bias: false}
"""
# What a worker does, in a process whose size can be asked for.
LOOK = """\
import resource, sys, time
from pathlib import Path
import otrainer.experiment
from otrainer.tasks.worker.execute import execute
from otrainer.storage.experiments import find_experiment
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, busy = time.perf_counter(), time.process_time()
outcome = execute(sys.argv[1], find_experiment("decoder", Path.cwd()), Path.cwd())
taken = time.perf_counter() - start, time.process_time() - busy
size = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert outcome.status == "ok", outcome.report
print(outcome.report, file=sys.stderr)
print(*taken, size)
"""


def make_decoder(folder):
    """The shipped project with the experiment `decoder` in it."""
    project, env = make_project(folder)
    (project / "extensions" / "decoder.py").write_text(PLUGIN)
    blocks = "\n".join(["      - {_template_: block}"] * 32)
    (project / "configs" / "experiments" / "decoder.yaml").write_text(EXPERIMENT.replace("BLOCKS", blocks))
    return project, env


def looked(stage, project, env):
    """Medians of seconds, of processor seconds and of MB that a stage takes beyond importing torch, and its words."""
    command = [sys.executable, "-c", LOOK, stage]
    rounds = []
    for _ in range(ROUNDS):
        done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=True)
        rounds.append([*map(float, done.stdout.split()[-3:])])
    return [statistics.median(column) for column in zip(*rounds, strict=True)], done.stderr


def main():
    with tempfile.TemporaryDirectory(dir=quiet_place()) as folder:
        project, env = make_decoder(folder)
        doit(project, ["validate", "EXP=decoder"], env)  # leaves compiled modules behind
        doit(project, ["show", "EXP=decoder", "MODEL=1"], env)
        (wall, busy, size), report = looked("show-model", project, env)
        print(report)
        print("beyond a process that has imported torch:")
        print(f"show MODEL=1: {wall:.2f} s by the clock (budget 5), {busy:.2f} s of the processor, {size:.0f} MB (700)")
        (wall, busy, size), _ = looked("validate", project, env)
        print(f"validate: {wall:.2f} s by the clock, {busy:.2f} s of the processor, {size:.0f} MB")
        pairs = [doit(project, ["show", "EXP=decoder", "MODEL=1"], env) for _ in range(ROUNDS)]
        torch = [timed(["-c", "import torch"], project, env) for _ in range(ROUNDS)]
        (wall, busy), (torch_wall, torch_busy) = medians(pairs), medians(torch)
        print(f"doit from start to end: {wall:.2f} s, {busy:.2f} s of the processor", end="; ")
        print(f"importing torch alone: {torch_wall:.2f} s, {torch_busy:.2f} s")


if __name__ == "__main__":
    main()
