"""What `run.compile` gives: a transformer block trained by `trainer.default`, against one compiled by hand.

    python tests/bench/compiled.py [STEPS] [REPEATS] [DEVICE]

Budget: not slower. Compiling is not measured; both take turns with one thread, and the best of each counts. Says also
how many graphs torch compiled over four epochs with validation: two, one of which is without gradients.
"""

from __future__ import annotations

import sys
import time

import torch

from otrainer.components.io import MappingIO
from otrainer.components.loss import TorchLoss
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.engine.trainer import DefaultTrainer
from otrainer.registry import build_registry

WIDTH, HEADS, LENGTH, BATCH = 128, 4, 64, 8
WARM_UP = 3


def block(device):
    torch.manual_seed(0)
    return torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True).to(device)


def by_hand(batches, device):
    model = block(device)
    call = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for step, batch in enumerate(batches):
        if step == WARM_UP:
            start = now(device)
        loss = torch.nn.functional.mse_loss(call(batch["src"]), batch["y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return now(device) - start


class Data:
    def __init__(self, train, val=None):
        self.train, self.val = train, val

    def train_dataloader(self):
        return self.train

    def val_dataloader(self):
        return self.val


class Clock:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == WARM_UP:
            self.start = now(ctx.device)

    def on_fit_end(self, ctx):
        self.seconds = now(ctx.device) - self.start


def by_otrainer(data, device, how=True, epochs=1):
    clock = Clock()
    DefaultTrainer(max_epochs=epochs).fit(
        model=block(device),
        datamodule=data,
        io=MappingIO(model_kwargs={"src": ["src"]}, targets={"y": ["y"]}),
        loss=TorchLoss(torch.nn.MSELoss()),
        optimizer_factory=TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 1e-3}),
        callbacks=[clock],
        registry=build_registry(),
        run={"name": "bench", "out_dir": "runs/bench", "device": device, "compile": how},
    )
    return clock.seconds


def now(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main(steps, repeats, device):
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    batches = [
        {name: torch.randn(BATCH, LENGTH, WIDTH, generator=generator).to(device) for name in ("src", "y")}
        for _ in range(steps + WARM_UP)
    ]
    found = {"by hand": [], "otrainer": []}
    for _ in range(repeats):
        found["by hand"].append(by_hand(batches, device) / steps)
        found["otrainer"].append(by_otrainer(Data(batches), device) / steps)
    best = {name: min(times) for name, times in found.items()}
    for name, seconds in best.items():
        print(f"  {name:10} {seconds * 1e3:7.3f} ms a step")
    print(f"otrainer: {best['otrainer'] / best['by hand']:.3f}x of compiled by hand (budget 1)")
    graphs = []

    def counting(graph, _example):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    by_otrainer(Data(batches[:4], batches[:2]), device, {"backend": counting}, epochs=4)
    print(f"{len(graphs)} graphs compiled over four epochs with validation")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 100, int(given[1]) if len(given) > 1 else 5, given[2] if len(given) > 2 else "cpu")
