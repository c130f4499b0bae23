"""The same training in plain torch: `python plain.py max_epochs=8` trains, or goes on from its checkpoint."""

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
from torch.optim.lr_scheduler import CosineAnnealingLR


@dataclass
class Config:
    folder: str = "runs/finetune"
    backbone: str = "backbone.pt"
    seed: int = 3
    samples: int | None = None
    width: int = 32
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 0.5
    max_epochs: int = 8
    log_every: int = 10


THAWS = (2, 2, 1)  # the epoch from which each block trains


def block(before, after, stride=1):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: here the order of an epoch."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def drawn(numbers, labels, seed):
    """Numbers in an order by chance in which each stretch has the classes in their shares."""
    order = numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(stream(seed, "split")))]
    places = torch.empty(len(order), dtype=torch.float64)
    for each in labels.unique():
        (of_class,) = (labels[order] == each).nonzero(as_tuple=True)
        places[of_class] = (torch.arange(len(of_class), dtype=torch.float64) + 0.5) / len(of_class)
    return order[places.argsort(stable=True)]


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def groups_of(model, config):
    """The head, then each block at half the rate of the one above it, without decay of norms and biases."""
    for layer in (0, 1, 2, 5):
        scale = config.layer_decay ** (3 - min(layer, 3))
        for decays in (True, False):
            chosen = [each for each in model[layer].parameters() if (each.dim() > 1) == decays]
            yield {"params": chosen, "lr": config.lr * scale, "weight_decay": config.weight_decay * decays}


def freeze(model, epoch):
    for each, thaws in zip(model[:3], THAWS, strict=True):
        each.requires_grad_(epoch >= thaws)
        each[1].train(epoch >= thaws)


@torch.no_grad()
def validate(model, loss_fn, images, odd, config):
    model.eval()
    pairs = zip(images.split(config.batch_size), odd.split(config.batch_size), strict=True)
    losses = [loss_fn(model(x), y).item() * len(y) for x, y in pairs]
    model.train()
    return math.fsum(losses) / len(odd)


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    digits = load_digits()
    images = torch.tensor(digits.images[: config.samples], dtype=torch.float32).unsqueeze(1) / 16
    odd = torch.tensor(digits.target[: config.samples]) % 2
    numbers, count = drawn(torch.arange(len(odd)), odd, 0), round(0.2 * len(odd))
    held_out, chosen = numbers[:count].sort()[0], numbers[count:].sort()[0]
    held_out, images, odd = (images[held_out], odd[held_out]), images[chosen], odd[chosen]

    torch.manual_seed(config.seed)
    wide = 2 * config.width
    blocks = block(1, config.width), block(config.width, wide, 2), block(wide, wide)
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 2))
    given = torch.load(config.backbone)
    model.load_state_dict({name: value for name, value in given.items() if not name.startswith("5.")}, strict=False)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(groups_of(model, config), config.lr, fused=True)
    batches = math.ceil(len(odd) / config.batch_size)
    scheduler = CosineAnnealingLR(optimizer, batches * config.max_epochs)
    at, rows = {"step": 0, "epoch": 0, "batch": 0, "best": math.inf}, []

    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["rng"])
        at, rows = saved["at"], saved["rows"]

    def checkpoint(name):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        save(folder / name, {**state, "rng": torch.get_rng_state(), "at": at, "rows": rows})

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    data = stream(config.seed, "data", "train")
    while at["epoch"] < config.max_epochs:
        order = torch.randperm(len(odd), generator=torch.Generator().manual_seed(stream(data, at["epoch"], "order")))
        freeze(model, at["epoch"])
        while at["batch"] < batches:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size]
            optimizer.zero_grad()
            loss = loss_fn(model(images[chosen]), odd[chosen])
            loss.backward()
            if not loss.isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            optimizer.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] % config.log_every == 0:
                rates = [group["lr"] for group in optimizer.param_groups]
                rows.append({"step": at["step"], "loss": loss.item(), "rates": rates})
            scheduler.step()
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        rows.append({"step": at["step"], "val_loss": validate(model, loss_fn, *held_out, config)})
        at["epoch"], at["batch"] = at["epoch"] + 1, 0
        if rows[-1]["val_loss"] < at["best"]:
            at["best"] = rows[-1]["val_loss"]
            checkpoint("best.pt")
        checkpoint("last.pt")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return model.state_dict(), rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
