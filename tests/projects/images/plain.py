"""The same training in plain torch: `python plain.py max_epochs=30` trains, or goes on from its checkpoint."""

import hashlib
import json
import math
import signal
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import pad
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import get_ema_multi_avg_fn


@dataclass
class Config:
    folder: str = "runs/images"
    seed: int = 2
    samples: int | None = None
    width: int = 32
    batch_size: int = 64
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    max_epochs: int = 30
    ema_decay: float = 0.99
    ema_from: int = 50
    patience: int = 5
    min_delta: float = 0.0
    log_every: int = 10


def block(before, after, stride=1):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: the order of an epoch, the moves of a batch."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def digits(rows, samples):
    data = load_digits()
    images = torch.tensor(data.images[rows][:samples], dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(data.target[rows][:samples])


def moved(image):
    down, right = torch.randint(3, (2,)).tolist()
    return pad(image, (1, 1, 1, 1))[:, down : down + 8, right : right + 8]


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


@torch.no_grad()
def validate(model, loss_fn, images, labels, config):
    model.eval()
    losses, weights, right = [], [], 0
    for x, y in zip(images.split(config.batch_size), labels.split(config.batch_size), strict=True):
        scores = model(x)
        weights.append(loss_fn.weight[y].sum().item())
        losses.append(loss_fn(scores, y).item() * weights[-1])
        right += (scores.argmax(1) == y).sum().item()
    model.train()
    return {"val_loss": math.fsum(losses) / math.fsum(weights), "val_accuracy": right / len(labels)}


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    images, labels = digits(slice(None, -360), config.samples)
    held_out = digits(slice(-360, None), config.samples)

    torch.manual_seed(config.seed)
    wide = 2 * config.width
    blocks = block(1, config.width), block(config.width, wide, 2), block(wide, wide)
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 10))
    loss_fn = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0]))
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(
        parameters, config.lr, config.momentum, nesterov=True, weight_decay=config.weight_decay, fused=True
    )
    scheduler = CosineAnnealingLR(optimizer, config.max_epochs)
    average = Average(parameters, config.ema_decay)
    at, rows = {"step": 0, "epoch": 0, "batch": 0, "best": -math.inf, "waited": 0, "ended": False}, []

    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["rng"])
        average.values, at, rows = saved["average"], saved["at"], saved["rows"]

    def checkpoint(name):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        save(folder / name, {**state, "average": average.values, "rng": torch.get_rng_state(), "at": at, "rows": rows})

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    data, batches = stream(config.seed, "data", "train"), math.ceil(len(labels) / config.batch_size)
    while at["epoch"] < config.max_epochs and not at["ended"]:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(stream(data, at["epoch"], "order")))
        while at["batch"] < batches:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream(data, at["epoch"], at["batch"]))
                x = torch.stack([moved(image) for image in images[chosen]])
            optimizer.zero_grad()
            loss = loss_fn(model(x), labels[chosen])
            loss.backward()
            if not loss.isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            optimizer.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] >= config.ema_from:
                average.update()
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], "loss": loss.item(), "lr": optimizer.param_groups[0]["lr"]})
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        average.swap()
        values = validate(model, loss_fn, *held_out, config)
        rows.append({"step": at["step"], **values})
        average.swap()
        scheduler.step()
        at["epoch"], at["batch"] = at["epoch"] + 1, 0
        if values["val_accuracy"] > at["best"] + config.min_delta:
            at["best"], at["waited"] = values["val_accuracy"], 0
            checkpoint("best.pt")
        else:
            at["waited"] += 1
            at["ended"] = at["waited"] >= config.patience
        checkpoint("last.pt")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    average.swap()
    return model.state_dict(), rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
