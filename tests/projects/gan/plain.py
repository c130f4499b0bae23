"""The same training in plain torch: `python plain.py max_epochs=100` trains, or goes on from its checkpoint."""

import hashlib
import json
import signal
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import relu


@dataclass
class Config:
    folder: str = "runs/gan"
    seed: int = 6
    samples: int | None = None
    width: int = 128
    batch_size: int = 64
    lr: float = 2e-4
    every: int = 2
    max_epochs: int = 100
    log_every: int = 10


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: here the order of an epoch."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def mlp(before, width, after, activation):
    return nn.Sequential(
        nn.Linear(before, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, after)
    )


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    images = torch.tensor(load_digits().data[: config.samples], dtype=torch.float32) / 16

    torch.manual_seed(config.seed)
    generator = mlp(16, config.width, 64, nn.ReLU).append(nn.Sigmoid())
    critic = mlp(64, config.width, 1, nn.LeakyReLU)
    models = nn.ModuleDict({"generator": generator, "critic": critic})
    optimizers = {
        name: torch.optim.Adam(model.parameters(), config.lr, betas=(0.5, 0.99), fused=True)
        for name, model in models.items()
    }
    at, rows = {"step": 0, "epoch": 0, "batch": 0}, []

    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last)
        models.load_state_dict(saved["models"])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        torch.set_rng_state(saved["rng"])
        at, rows = saved["at"], saved["rows"]

    def checkpoint():
        states = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
        state = {"models": models.state_dict(), "optimizers": states, "rng": torch.get_rng_state()}
        save(last, {**state, "at": at, "rows": rows})

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    data, batches = stream(config.seed, "data", "train"), len(images) // config.batch_size
    while at["epoch"] < config.max_epochs:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(stream(data, at["epoch"], "order")))
        while at["batch"] < batches:
            real = images[order[at["batch"] * config.batch_size :][: config.batch_size]]
            drawn = generator(torch.randn(len(real), 16))
            optimizers["critic"].zero_grad()
            told = relu(1 - critic(real)).mean() + relu(1 + critic(drawn.detach())).mean()
            told.backward()
            optimizers["critic"].step()
            row = {"critic_loss": told}
            if (at["step"] + 1) % config.every == 0:
                optimizers["generator"].zero_grad()
                critic.requires_grad_(False)
                row["generator_loss"] = -critic(drawn).mean()
                row["generator_loss"].backward()
                critic.requires_grad_(True)
                optimizers["generator"].step()
            if not all(value.isfinite() for value in row.values()):
                raise RuntimeError(f"a loss of step {at['step'] + 1} is not finite")
            at["step"] += 1
            at["batch"] += 1
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], **{name: value.item() for name, value in row.items()}})
            if stopped or at["step"] == stop_at:
                checkpoint()
                return None
        at["epoch"], at["batch"] = at["epoch"] + 1, 0
        checkpoint()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return models.state_dict(), rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
