"""The same training in plain torch: `python plain.py max_epochs=20` trains, or goes on from its checkpoint."""

import hashlib
import json
import math
import signal
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.nn.utils.rnn import pad_sequence


@dataclass
class Config:
    folder: str = "runs/imitation"
    seed: int = 5
    trajectories: int = 400
    held_out: int = 50
    noise: float = 0.02
    width: int = 64
    batch_size: int = 32
    lr: float = 3e-3
    brake: float = 0.5
    clip: float = 0.5
    max_epochs: int = 20
    log_every: int = 10


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: the order of an epoch, the noise of a batch."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def expert(count, seed):
    random, found = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        goal, place = torch.rand(2, 2, generator=random)
        speed, steps = torch.zeros(2), []
        for _ in range(int(torch.randint(10, 30, (), generator=random))):
            force, brake = 2 * (goal - place) - 1.5 * speed, (goal - place).norm() < 0.2
            steps.append((torch.cat([place, speed]), force, brake.float()))
            speed = speed + 0.1 * force
            place = place + 0.1 * speed
        state, force, brake = map(torch.stack, zip(*steps, strict=True))
        found.append({"obs": {"state": state, "goal": goal}, "action": {"force": force, "brake": brake}})
    return found


class Policy(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.memory = nn.GRU(6, width, batch_first=True)
        self.force, self.brake = nn.Linear(width, 2), nn.Linear(width, 1)

    def forward(self, state, goal):
        known, _ = self.memory(torch.cat([state, goal[:, None].expand(-1, state.shape[1], -1)], dim=-1))
        return self.force(known), self.brake(known).squeeze(-1)


def batch_of(trajectories, noise):
    states = [each["obs"]["state"] for each in trajectories]
    states = [each + noise * torch.randn_like(each) for each in states]
    goals = torch.stack([each["obs"]["goal"] for each in trajectories])
    forces = pad_sequence([each["action"]["force"] for each in trajectories], batch_first=True)
    brakes = pad_sequence([each["action"]["brake"] for each in trajectories], batch_first=True)
    lengths = torch.tensor([len(each) for each in states])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    return pad_sequence(states, batch_first=True), goals, forces, brakes, mask


def losses_of(model, batch, config):
    state, goal, forces, brakes, mask = batch
    force, brake = model(state, goal)
    force_loss = mse_loss(force[mask], forces[mask])
    brake_loss = binary_cross_entropy_with_logits(brake[mask], brakes[mask])
    return {"loss": force_loss + config.brake * brake_loss, "force_loss": force_loss, "brake_loss": brake_loss}


@torch.no_grad()
def validate(model, trajectories, config):
    model.eval()
    found, weights = [], []
    for first in range(0, len(trajectories), config.batch_size):
        batch = batch_of(trajectories[first : first + config.batch_size], 0.0)
        weights.append(batch[-1].sum().item())
        found.append({name: value.item() * weights[-1] for name, value in losses_of(model, batch, config).items()})
    model.train()
    return {f"val_{name}": math.fsum(each[name] for each in found) / math.fsum(weights) for name in found[0]}


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    trajectories, held_out = expert(config.trajectories, 0), expert(config.held_out, 1)

    torch.manual_seed(config.seed)
    model = Policy(config.width)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, fused=True)
    at, rows = {"step": 0, "epoch": 0, "batch": 0, "best": math.inf}, []

    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
        at, rows = saved["at"], saved["rows"]

    def checkpoint(name):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save(folder / name, {**state, "rng": torch.get_rng_state(), "at": at, "rows": rows})

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    data, batches = stream(config.seed, "data", "train"), math.ceil(len(trajectories) / config.batch_size)
    while at["epoch"] < config.max_epochs:
        generator = torch.Generator().manual_seed(stream(data, at["epoch"], "order"))
        order = torch.randperm(len(trajectories), generator=generator).tolist()
        while at["batch"] < batches:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream(data, at["epoch"], at["batch"]))
                batch = batch_of([trajectories[number] for number in chosen], config.noise)
            optimizer.zero_grad()
            losses = losses_of(model, batch, config)
            losses["loss"].backward()
            if not losses["loss"].isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], **{name: value.item() for name, value in losses.items()}})
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        rows.append({"step": at["step"], **validate(model, held_out, config)})
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
