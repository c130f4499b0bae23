"""The same training in plain torch: `python plain.py fold=1` trains, or goes on from its checkpoint."""

import csv
import hashlib
import json
import math
import signal
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau


@dataclass
class Config:
    folder: str = "runs/tabular"
    table: str = "wine.csv"
    fold: int = 0
    seed: int = 4
    width: int = 64
    batch_size: int = 32
    lr: float = 3e-3
    weight_decay: float = 0.1
    patience: int = 2
    max_epochs: int = 60
    log_every: int = 10


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


def parts_of(config):
    """Features, by the statistics of what is trained on, and classes: to train, validate and test on."""
    with Path(config.table).open(newline="") as file:
        table = list(csv.DictReader(file))
    names = [name for name in table[0] if name != "class"]
    x = torch.tensor([[float(row[name]) for name in names] for row in table], dtype=torch.float64)
    classes = sorted({row["class"] for row in table})
    y = torch.tensor([classes.index(row["class"]) for row in table])

    order, count = drawn(torch.arange(len(y)), y, 0), round(0.2 * len(y))
    test, rest = order[:count].sort()[0], drawn(order[count:].sort()[0], y, 0)
    first, end = len(rest) * config.fold // 5, len(rest) * (config.fold + 1) // 5
    val, train = rest[first:end].sort()[0], torch.cat([rest[:first], rest[end:]]).sort()[0]
    x = ((x - x[train].mean(0)) / x[train].std(0, correction=0)).float()
    return {name: (x[part], y[part]) for name, part in (("train", train), ("val", val), ("test", test))}


@torch.no_grad()
def judge(model, loss_fn, x, y, config):
    model.eval()
    losses, right = [], 0
    for part, label in zip(x.split(config.batch_size), y.split(config.batch_size), strict=True):
        scores = model(part)
        losses.append(loss_fn(scores, label).item() * len(label))
        right += (scores.argmax(1) == label).sum().item()
    model.train()
    return {"loss": math.fsum(losses) / len(y), "accuracy": right / len(y)}


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    parts = parts_of(config)
    x, y = parts["train"]

    torch.manual_seed(config.seed)
    layers = []
    for before, after in ((x.shape[1], config.width), (config.width, config.width)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.2)]
    model = nn.Sequential(*layers, nn.Linear(config.width, 3))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=config.patience)
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
    data, batches = stream(config.seed, "data", "train"), math.ceil(len(y) / config.batch_size)
    while at["epoch"] < config.max_epochs:
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(stream(data, at["epoch"], "order")))
        while at["batch"] < batches:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size]
            optimizer.zero_grad()
            loss = loss_fn(model(x[chosen]), y[chosen])
            loss.backward()
            if not loss.isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            optimizer.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], "loss": loss.item(), "lr": optimizer.param_groups[0]["lr"]})
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        values = judge(model, loss_fn, *parts["val"], config)
        rows.append({"step": at["step"], **{f"val_{name}": value for name, value in values.items()}})
        scheduler.step(values["loss"])
        at["epoch"], at["batch"] = at["epoch"] + 1, 0
        if values["loss"] < at["best"]:
            at["best"] = values["loss"]
            checkpoint("best.pt")
        checkpoint("last.pt")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    last_weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(torch.load(folder / "best.pt")["model"])
    (folder / "test.json").write_text(json.dumps(judge(model, loss_fn, *parts["test"], config)))
    return last_weights, rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
