"""The same training in plain torch: `python plain.py max_steps=1000` trains, or goes on from its checkpoint."""

import hashlib
import json
import math
import signal
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


@dataclass
class Config:
    folder: str = "runs/char_lm"
    seed: int = 1
    length: int = 128
    width: int = 128
    heads: int = 4
    blocks: int = 4
    characters: int | None = None
    batch_size: int = 16
    lr: float = 1e-3
    weight_decay: float = 0.1
    max_steps: int = 1000
    accumulate: int = 4
    clip: float = 1.0
    val_every: int = 100
    log_every: int = 10


class Embedding(nn.Module):
    def __init__(self, width, length):
        super().__init__()
        self.token, self.place = nn.Embedding(128, width), nn.Embedding(length, width)

    def forward(self, x):
        return self.token(x) + self.place.weight[: x.shape[1]]


class Block(nn.Module):
    def __init__(self, width, heads, dropout=0.1):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: here the order of an epoch."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def windows(config):
    text = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")[: config.characters]
    cut = len(text) * 9 // 10
    for part in (text[:cut], text[cut:]):
        ids, count = torch.tensor(list(part)), (len(part) - 1) // config.length
        used = count * config.length
        yield ids[:used].view(count, -1), ids[1 : used + 1].view(count, -1)


def loss_of(model, x, y):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def validate(model, x, y, config):
    model.eval()
    pairs = list(zip(x.split(config.batch_size), y.split(config.batch_size), strict=True))
    losses = [loss_of(model, *pair).item() * len(pair[0]) for pair in pairs]
    model.train()
    return math.fsum(losses) / len(x)


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    (x, y), held_out = windows(config)

    torch.manual_seed(config.seed)
    model = nn.Sequential(
        Embedding(config.width, config.length),
        *[Block(config.width, config.heads) for _ in range(config.blocks)],
        nn.LayerNorm(config.width),
        nn.Linear(config.width, 128),
    )
    embedding, decayed, rest = list(model[0].parameters()), [], []
    for parameter in model[1:].parameters():
        (decayed if parameter.dim() > 1 else rest).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": rest},
        {"params": embedding, "lr": config.lr * 0.5},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=0.0, fused=True)
    warm_up = config.max_steps // 10
    phases = [
        LinearLR(optimizer, 0.01, total_iters=warm_up),
        CosineAnnealingLR(optimizer, T_max=config.max_steps - warm_up),
    ]
    scheduler = SequentialLR(optimizer, phases, milestones=[warm_up])
    at, rows, best = {"step": 0, "epoch": 0, "batch": 0}, [], math.inf

    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["rng"])
        at, rows, best = saved["at"], saved["rows"], saved["best"]

    def checkpoint(name):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        save(folder / name, {**state, "rng": torch.get_rng_state(), "at": at, "rows": rows, "best": best})

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    batches = len(x) // config.batch_size
    while at["step"] < config.max_steps:
        generator = torch.Generator().manual_seed(stream(stream(config.seed, "data", "train"), at["epoch"], "order"))
        order = torch.randperm(len(x), generator=generator)
        while at["batch"] < batches and at["step"] < config.max_steps:
            numbers = range(at["batch"], min(at["batch"] + config.accumulate, batches))
            losses = []
            optimizer.zero_grad()
            for number in numbers:
                chosen = order[number * config.batch_size :][: config.batch_size]
                loss = loss_of(model, x[chosen], y[chosen])
                (loss / len(numbers)).backward()
                losses.append(loss.item())
            if not all(map(math.isfinite, losses)):
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            nn.utils.clip_grad_norm_([*decayed, *rest, *embedding], config.clip)
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.step()
            scheduler.step()
            at["step"] += 1
            at["batch"] += len(numbers)
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], "loss": math.fsum(losses) / len(losses), "lr": rates[0]})
            if at["step"] % config.val_every == 0:
                rows.append({"step": at["step"], "val_loss": validate(model, *held_out, config)})
                if rows[-1]["val_loss"] < best:
                    best = rows[-1]["val_loss"]
                    checkpoint("best.pt")
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        if at["batch"] >= batches:
            at["epoch"], at["batch"] = at["epoch"] + 1, 0
        checkpoint("last.pt")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return model.state_dict(), rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
