"""The same training in plain torch: `python plain.py max_epochs=10` trains, or goes on from its checkpoint."""

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
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


@dataclass
class Config:
    folder: str = "runs/vit"
    weights: str = "vit.pt"
    seed: int = 9
    samples: int | None = None
    width: int = 64
    heads: int = 4
    layers: int = 4
    dropout: float = 0.1
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    smoothing: float = 0.1
    clip: float = 1.0
    max_epochs: int = 10
    log_every: int = 10


class Patches(nn.Module):
    def __init__(self, size, patch, width):
        super().__init__()
        self.cut = nn.Conv2d(1, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + (size // patch) ** 2, width))

    def forward(self, image):
        patches = self.cut(image).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(image), -1, -1), patches], dim=1) + self.place


class ViT(nn.Module):
    def __init__(self, width, heads, layers, dropout, classes=10):
        super().__init__()
        self.embed = Patches(8, 2, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, image):
        return self.head(self.norm(self.blocks(self.embed(image))[:, 0]))


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
    """The head, then each layer slower than the one above it, with weights apart from what does not decay."""
    layers = [model.embed, *model.blocks.layers, nn.ModuleList([model.norm, model.head])]
    for number, layer in enumerate(layers):
        rate = config.lr * config.layer_decay ** (len(layers) - 1 - number)
        for decays in (True, False):
            named = layer.named_parameters()
            chosen = [each for name, each in named if (each.dim() > 1 and name not in ("token", "place")) == decays]
            yield {"params": chosen, "lr": rate, "weight_decay": config.weight_decay * decays}


@torch.no_grad()
def validate(model, loss_fn, images, labels, config):
    model.eval()
    pairs = zip(images.split(config.batch_size), labels.split(config.batch_size), strict=True)
    losses = [loss_fn(model(x), y).item() * len(y) for x, y in pairs]
    model.train()
    return math.fsum(losses) / len(labels)


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    digits = load_digits()
    images = torch.tensor(digits.images[: config.samples], dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target[: config.samples])
    numbers, count = drawn(torch.arange(len(labels)), labels, 0), round(0.2 * len(labels))
    held_out, chosen = numbers[:count].sort()[0], numbers[count:].sort()[0]
    held_out, images, labels = (images[held_out], labels[held_out]), images[chosen], labels[chosen]

    torch.manual_seed(config.seed)
    model = ViT(config.width, config.heads, config.layers, config.dropout)
    given = torch.load(config.weights)
    taken = {name: value for name, value in given.items() if not name.startswith("head.")}
    model.load_state_dict(taken, strict=False)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=config.smoothing)
    groups = list(groups_of(model, config))
    optimizer = torch.optim.AdamW(groups, config.lr, fused=True)
    batches = math.ceil(len(labels) / config.batch_size)
    steps = batches * config.max_epochs
    warm_up = round(0.1 * steps)
    phases = LinearLR(optimizer, 0.01, total_iters=warm_up), CosineAnnealingLR(optimizer, steps - warm_up)
    scheduler = SequentialLR(optimizer, list(phases), milestones=[warm_up])
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
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(stream(data, at["epoch"], "order")))
        while at["batch"] < batches:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size]
            optimizer.zero_grad()
            loss = loss_fn(model(images[chosen]), labels[chosen])
            loss.backward()
            if not loss.isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            ordered = sorted(groups, key=lambda group: group["weight_decay"] == 0)
            nn.utils.clip_grad_norm_([each for group in ordered for each in group["params"]], config.clip)
            optimizer.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], "loss": loss.item()})
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
