"""What features cost where they are used: `trainer.default` against the same loop written by hand.

    python tests/bench/features.py [STEPS] [REPEATS]

A transformer-like MLP of 4 blocks of width 256, batches of 64 made before, AdamW fused, in each case with one feature:
parameter groups with weight decay apart, clipping to a norm, accumulation over four micro-batches, two optimizers by a
step of one's own, and EMA of the weights. Budget: 1.03x of the loop by hand. One thread, whose own time is taken, since
other work on a machine counts for less in it; both take turns, the bits are the same.

The time of wide layers scatters by more than the budget, from one run to the next. What the loop itself costs does not
depend on their width: so it is taken with layers of width 8 as well, where the least of the times by either way differ
by little else, and told in microseconds and as a share of a step of the wide layers.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial

import torch
from step import Data

from otrainer.components.io import MappingIO
from otrainer.components.loss import TorchLoss
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.engine.trainer import DefaultTrainer
from otrainer.registry import build_registry

WARM_UP, ACCUMULATE, NORM, DECAY = 20, 4, 1.0, 0.999
WIDE, NARROW = 256, 8
CLOCKED = 200  # the step at which `Clock` begins


class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        kinds = (partial(torch.nn.Linear, width, width), partial(torch.nn.LayerNorm, width), torch.nn.GELU)
        self.body = torch.nn.Sequential(*(kind() for _ in range(4) for kind in kinds))
        self.head = torch.nn.Linear(width, 16)

    def forward(self, x):
        return self.head(self.body(x))


class TwoSteps(DefaultTrainer):
    def training_step(self, ctx, batch):
        loss = torch.nn.functional.mse_loss(ctx.forward(batch["x"]), batch["y"])
        ctx.backward(loss)
        ctx.step("body")
        ctx.step("head")
        return {"loss": loss}


def adamw(parameters, **options):
    return torch.optim.AdamW(parameters, lr=1e-3, fused=True, **options)


def grouped(model):
    decay = [p for n, p in model.named_parameters() if p.ndim > 1]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
    return [adamw([{"params": decay}, {"params": rest, "weight_decay": 0.0}], weight_decay=0.1)]


def by_hand(batches, make, *, clip=None, accumulate=1, ema=False):
    """The loop that one writes: `make` returns the optimizers, which all step together."""
    model = Net(batches[0]["x"].shape[1])
    optimizers = make(model)
    averaged = (
        torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY))
        if ema
        else None
    )
    begun = CLOCKED // accumulate
    for step in range(len(batches) // accumulate):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for batch in batches[step * accumulate : (step + 1) * accumulate]:
            loss = torch.nn.functional.mse_loss(model(batch["x"]), batch["y"])
            (loss / accumulate if accumulate > 1 else loss).backward()
            value = loss.item()  # both look whether it is finite
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimizer in optimizers:
            optimizer.step()
        if averaged is not None:
            averaged.update_parameters(model)
        if step + 1 == begun:
            start = time.process_time()
    assert value == value
    return time.process_time() - start, model


def by_otrainer(batches, optimizer, trainer):
    model, clock = Net(batches[0]["x"].shape[1]), Clock(CLOCKED // trainer.grad_accum_steps)
    trainer.fit(
        model=model,
        datamodule=Data(batches),
        io=MappingIO(model_kwargs={"x": ["x"]}, targets={"y": ["y"]}),
        loss=TorchLoss(torch.nn.MSELoss()),
        optimizer_factory=optimizer,
        callbacks=[clock],
        registry=build_registry(),
        run={"name": "bench", "out_dir": "runs/bench"},
    )
    return clock.seconds, model


class Clock:
    """Takes the time from the end of step `at` to the last one."""

    def __init__(self, at):
        self.at = at

    def on_train_step_end(self, ctx):
        if ctx.state.global_step == self.at:
            self.start = time.process_time()

    def on_fit_end(self, ctx):
        self.seconds = time.process_time() - self.start


def factory(**options):
    return TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 1e-3, **options.pop("kwargs", {})}, **options)


CASES = {
    "nothing": (partial(by_hand, make=lambda model: [adamw(model.parameters())]), factory, dict, DefaultTrainer),
    "groups": (
        partial(by_hand, make=grouped),
        lambda: factory(kwargs={"weight_decay": 0.1}, no_decay=["bias", "norm"]), dict, DefaultTrainer,
    ),
    "clipping": (
        partial(by_hand, make=lambda model: [adamw(model.parameters())], clip=NORM),
        factory, lambda: {"grad_clip_norm": NORM}, DefaultTrainer,
    ),
    "accumulation": (
        partial(by_hand, make=lambda model: [adamw(model.parameters())], accumulate=ACCUMULATE),
        factory, lambda: {"grad_accum_steps": ACCUMULATE}, DefaultTrainer,
    ),
    "two optimizers": (
        partial(by_hand, make=lambda model: [adamw(model.body.parameters()), adamw(model.head.parameters())]),
        lambda: {"body": factory(), "head": factory()}, dict, TwoSteps,
    ),
    "ema": (
        partial(by_hand, make=lambda model: [adamw(model.parameters())], ema=True),
        factory, lambda: {"ema": {"decay": DECAY}}, DefaultTrainer,
    ),
}  # fmt: skip


def batches_of(width, count):
    generator = torch.Generator().manual_seed(0)
    sizes = {"x": width, "y": 16}
    return [
        {name: torch.randn(64, size, generator=generator) for name, size in sizes.items()}
        for _ in range(count + CLOCKED)
    ]


def pairs_of(case, batches, repeats):
    """Yield the seconds that the loop by hand and otrainer's take in turns, and whether the weights are the same."""
    plain, optimizer, options, trainer = case
    for turn in range(repeats):
        ways = [
            partial(plain, batches),
            partial(by_otrainer, batches, optimizer(), trainer(log_every_n_steps=1000, **options())),
        ]
        found = [way() for way in (ways if turn % 2 else reversed(ways))]
        (one, wanted), (two, model) = found if turn % 2 else reversed(found)
        same = all(torch.equal(*pair) for pair in zip(model.parameters(), wanted.parameters(), strict=True))
        yield one, two, same


def main(steps, repeats):
    torch.set_num_threads(1)
    wide, narrow = batches_of(WIDE, steps), batches_of(NARROW, steps)
    for name, case in CASES.items():
        taken, of_loop = list(pairs_of(case, wide, repeats)), list(pairs_of(case, narrow, repeats))
        low, middle, high = statistics.quantiles([two / one for one, two, _ in taken], n=4)
        # Accumulation makes fewer, longer steps of as many batches: all is told by the batch.
        batch = statistics.median(one for one, _, _ in taken) / steps * 1e6
        more = (min(two for _, two, _ in of_loop) - min(one for one, _, _ in of_loop)) / steps * 1e6
        same = all(each for *_, each in (*taken, *of_loop))
        print(
            f"{name:16} {batch:8.1f} us a batch by hand, {middle:.3f}x by otrainer ({low:.3f} to {high:.3f}); "
            f"the loop alone {more:+.1f} us, {1 + more / batch:.3f}x (budget 1.03), same bits: {same}",
            flush=True,
        )


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*(given or [400, 15]), *([15] if len(given) == 1 else []))
