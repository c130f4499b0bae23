"""What a training step costs: `trainer.default` against loops written by hand, with torch's defaults and fused.

    python tests/bench/step.py [STEPS] [REPEATS] [DEVICE]

The 32-64-16 MLP with AdamW, batches of 32 made before, the loss logged every 10 steps. Budgets: at most 0.80x of the
loop with torch's defaults, and 1.08x of the one with `fused=True`. One thread; all take turns, the best of each counts.
"""

from __future__ import annotations

import sys
import time

import torch

from otrainer.components.io import MappingIO
from otrainer.components.loss import TorchLoss
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.deps.model_constructor import build_model, resolve_config
from otrainer.engine.trainer import DefaultTrainer
from otrainer.registry import build_registry

LOG_EVERY = 10
WARM_UP = 200
MODEL = {"sequential": {"inputs": ["x"], "layers": [{"_type_": "mlp", "dims": [32, 64, 16], "activation": "gelu"}]}}


class Rows:
    """A logger that keeps what it is given."""

    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, *, step, stage):
        self.rows.append(metrics["loss"])


class Clock:
    """Takes the time from the end of the warm-up to the last step."""

    def on_train_step_end(self, ctx):
        if ctx.state.global_step == WARM_UP:
            wait(ctx.device)
            self.start = time.perf_counter()

    def on_fit_end(self, ctx):
        wait(ctx.device)
        self.seconds = time.perf_counter() - self.start


class Data:
    def __init__(self, batches):
        self.batches = batches

    def train_dataloader(self):
        return self.batches


def make_model(device):
    torch.manual_seed(0)
    return build_model(resolve_config({"schema_version": 1, "model": MODEL})).to(device)


def plain_model(device):
    layers = [torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Linear(64, 16)]
    torch.manual_seed(0)
    return torch.nn.Sequential(*layers).to(device)


def by_hand(batches, device, **options):
    model, rows = plain_model(device), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **options)
    for step, batch in enumerate(batches, 1):
        loss = torch.nn.functional.mse_loss(model(batch["x"]), batch["y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % LOG_EVERY == 0:
            rows.append(loss.item())
        if step == WARM_UP:
            wait(device)
            start = time.perf_counter()
    wait(device)
    return time.perf_counter() - start, rows


def by_otrainer(batches, device):
    clock, rows = Clock(), Rows()
    DefaultTrainer(log_every_n_steps=LOG_EVERY).fit(
        model=make_model(device),
        datamodule=Data(batches),
        io=MappingIO(model_kwargs={"x": ["x"]}, targets={"y": ["y"]}),
        loss=TorchLoss(torch.nn.MSELoss()),
        optimizer_factory=TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 1e-3}),
        callbacks=[clock],
        loggers=[rows],
        registry=build_registry(),
        run={"name": "bench", "out_dir": "runs/bench", "device": device},
    )
    return clock.seconds, rows.rows


def wait(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def main(steps, repeats, device):
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    batches = [
        {name: torch.randn(32, width, generator=generator).to(device) for name, width in (("x", 32), ("y", 16))}
        for _ in range(steps + WARM_UP)
    ]
    ways = {
        "by hand, torch's defaults": lambda: by_hand(batches, device),
        "by hand, fused": lambda: by_hand(batches, device, fused=True),
        "otrainer": lambda: by_otrainer(batches, device),
    }
    found = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds, rows = way()
            found[name].append(seconds / steps * 1e6)
            last = rows[-1]
        print(".", end="", flush=True)
    best = {name: min(times) for name, times in found.items()}
    print(f"\n{steps} steps, {repeats} times, {device}, torch {torch.__version__}, last loss {last:.4f}")
    for name, micros in best.items():
        print(f"  {name:26} {micros:7.1f} us a step")
    default, fused, own = best.values()
    print(
        f"otrainer: {own / default:.3f}x of torch's defaults (budget 0.80), {own / fused:.3f}x of fused (budget 1.08)"
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[0]) if given else 3000, int(given[1]) if len(given) > 1 else 7, given[2] if len(given) > 2 else "cpu"
    )
