"""The same training in plain torch: `python plain.py max_steps=2000` trains, or goes on from its checkpoint."""

import hashlib
import json
import math
import signal
import sys
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn


@dataclass
class Config:
    folder: str = "runs/flow"
    seed: int = 7
    samples: int = 2000
    held_out: int = 200
    width: int = 128
    batch_size: int = 64
    lr_vision: float = 5e-4
    lr_policy: float = 1e-3
    clip: float = 1.0
    max_steps: int = 2000
    val_every: int = 200
    ema_decay: float = 0.99
    ema_from: int = 100
    log_every: int = 10


PIXELS = torch.cartesian_prod(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8))


def reaching(count, seed):
    target, hand = torch.rand(2, count, 2, generator=torch.Generator().manual_seed(seed))
    image = torch.exp(-30 * torch.cdist(target, PIXELS) ** 2).view(-1, 1, 8, 8)
    moves = torch.stack([(target - hand) * 0.3 * 0.7**step for step in range(4)], dim=1)
    return image, hand, 10 * moves.flatten(1)


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: here the order of an epoch."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


class Average:
    """An exponential average of parameters, and a way to use it in their place."""

    def __init__(self, parameters, decay):
        self.parameters, self.update_fn, self.values = parameters, get_ema_multi_avg_fn(decay), None

    @torch.no_grad()
    def update(self):
        if self.values is None:
            self.values = [each.detach().clone() for each in self.parameters]
        else:
            self.update_fn(self.values, self.parameters, None)

    @torch.no_grad()
    def swap(self):
        if self.values is not None:
            for each, value in zip(self.parameters, self.values, strict=True):
                kept = each.clone()
                each.copy_(value)
                value.copy_(kept)


def block(before, after, stride=1):
    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(after // 4, after), nn.ReLU())


def mlp(*widths):
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class Policy(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.vision = nn.Sequential(block(1, 16), block(16, 32, 2), nn.Flatten(), nn.Linear(512, 32))
        self.hand, self.field = mlp(2, 32, 32), mlp(73, width, width, 8)

    def seen(self, image, hand):
        return torch.cat([self.vision(image), self.hand(hand)], dim=1)

    def velocity(self, moves, time, seen):
        return self.field(torch.cat([moves, time, seen], dim=1))


def loss_of(model, image, hand, moves):
    seen = model.seen(image, hand)
    noise, time = torch.randn_like(moves), torch.rand(len(moves), 1)
    return mse_loss(model.velocity(torch.lerp(noise, moves, time), time, seen), moves - noise)


@torch.no_grad()
def validate(model, image, hand, moves, config):
    model.eval()
    errors = []
    for parts in zip(*(each.split(config.batch_size) for each in (image, hand, moves)), strict=True):
        seen, made = model.seen(*parts[:2]), torch.randn(parts[2].shape, generator=torch.Generator().manual_seed(0))
        for step in range(10):
            made = made + model.velocity(made, torch.full_like(made[:, :1], step / 10), seen) / 10
        errors.append(mse_loss(made, parts[2]).item() * len(made))
    model.train()
    return math.fsum(errors) / len(moves)


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    data, held_out = reaching(config.samples, 0), reaching(config.held_out, 1)

    torch.manual_seed(config.seed)
    model = Policy(config.width)
    policy = [*model.hand.parameters(), *model.field.parameters()]
    optimizers = [
        torch.optim.AdamW(model.vision.parameters(), config.lr_vision, fused=True),
        torch.optim.AdamW(policy, config.lr_policy, fused=True),
    ]
    warm_up, schedulers = config.max_steps // 10, []
    for optimizer in optimizers:
        first = LinearLR(optimizer, 0.01, total_iters=warm_up)
        second = CosineAnnealingLR(optimizer, config.max_steps - warm_up)
        schedulers.append(SequentialLR(optimizer, [first, second], milestones=[warm_up]))
    average = Average(list(model.parameters()), config.ema_decay)
    at, rows = {"step": 0, "epoch": 0, "batch": 0, "best": math.inf}, []

    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last)
        model.load_state_dict(saved["model"])
        for each, state in zip([*optimizers, *schedulers], saved["others"], strict=True):
            each.load_state_dict(state)
        torch.set_rng_state(saved["rng"])
        average.values, at, rows = saved["average"], saved["at"], saved["rows"]

    def checkpoint(name):
        state = {"model": model.state_dict(), "others": [each.state_dict() for each in (*optimizers, *schedulers)]}
        save(folder / name, {**state, "average": average.values, "rng": torch.get_rng_state(), "at": at, "rows": rows})

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    seed, batches = stream(config.seed, "data", "train"), math.ceil(config.samples / config.batch_size)
    while at["step"] < config.max_steps:
        generator = torch.Generator().manual_seed(stream(seed, at["epoch"], "order"))
        order = torch.randperm(config.samples, generator=generator)
        while at["batch"] < batches and at["step"] < config.max_steps:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size]
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = loss_of(model, *(each[chosen] for each in data))
            loss.backward()
            if not loss.isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            nn.utils.clip_grad_norm_(policy, config.clip)
            rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
            for each in (*optimizers, *schedulers):
                each.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] >= config.ema_from:
                average.update()
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], "loss": loss.item(), "lr_vision": rates[0], "lr_policy": rates[1]})
            if at["step"] % config.val_every == 0:
                average.swap()
                rows.append({"step": at["step"], "val_error": validate(model, *held_out, config)})
                average.swap()
                if rows[-1]["val_error"] < at["best"]:
                    at["best"] = rows[-1]["val_error"]
                    checkpoint("best.pt")
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        if at["batch"] >= batches:
            at["epoch"], at["batch"] = at["epoch"] + 1, 0
        checkpoint("last.pt")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    average.swap()
    return model.state_dict(), rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
