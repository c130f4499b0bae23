"""The same training in plain torch: `python plain.py max_epochs=20` trains, or goes on from its checkpoint."""

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
from torch.optim.lr_scheduler import PolynomialLR


@dataclass
class Config:
    folder: str = "runs/unet"
    seed: int = 8
    samples: int | None = None
    width: int = 16
    batch_size: int = 64
    lr: float = 3e-3
    max_epochs: int = 20
    log_every: int = 10


IGNORED = 255


def block(before, after, stride=1):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.enter, self.down = block(1, width), block(width, 2 * width, 2)
        self.bottom, self.up = block(2 * width, 2 * width), nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join, self.head = block(2 * width, width), nn.Conv2d(width, 2, 1)

    def forward(self, image):
        fine = self.enter(image)
        wide = self.up(self.bottom(self.down(fine)))
        return self.head(self.join(torch.cat([fine, wide], dim=1)))


def stream(*names):
    """A seed for each use of chance, so that a resume needs no past: an epoch's order, a batch's noise."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def strokes(rows, samples):
    images = torch.tensor(load_digits().images[rows][:samples], dtype=torch.float32) / 16
    masks = (images > 0.5).long().masked_fill((images > 0.3) & (images <= 0.5), IGNORED)
    return images.unsqueeze(1), masks


def augmented(image, mask):
    if torch.rand(()) < 0.5:
        image, mask = image.flip(-1), mask.flip(-1)
    return image + 0.2 * torch.randn(image.shape), mask


@torch.no_grad()
def validate(model, loss_fn, images, masks, config):
    model.eval()
    losses, counts, both, either = [], [], torch.zeros(2), torch.zeros(2)
    for x, y in zip(images.split(config.batch_size), masks.split(config.batch_size), strict=True):
        scores, seen = model(x), y != IGNORED
        counts.append(seen.sum().item())
        losses.append(loss_fn(scores, y).item() * counts[-1])
        for each in (0, 1):
            found, meant = (scores.argmax(1) == each) & seen, y == each
            both[each] += (found & meant).sum()
            either[each] += (found | meant).sum()
    model.train()
    return {"val_loss": math.fsum(losses) / math.fsum(counts), "val_jaccard_index": (both / either).mean().item()}


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(config, stop_at=None):
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    images, masks = strokes(slice(None, -360), config.samples)
    held_out = strokes(slice(-360, None), config.samples)

    torch.manual_seed(config.seed)
    model = UNet(config.width)
    loss_fn = nn.CrossEntropyLoss(ignore_index=IGNORED)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, fused=True)
    batches = math.ceil(len(images) / config.batch_size)
    scheduler = PolynomialLR(optimizer, batches * config.max_epochs, 0.9)
    at, rows = {"step": 0, "epoch": 0, "batch": 0, "best": -math.inf}, []

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
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(stream(data, at["epoch"], "order")))
        while at["batch"] < batches:
            chosen = order[at["batch"] * config.batch_size :][: config.batch_size].tolist()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream(data, at["epoch"], at["batch"]))
                pairs = [augmented(images[number], masks[number]) for number in chosen]
            x, y = map(torch.stack, zip(*pairs, strict=True))
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            if not loss.isfinite():
                raise RuntimeError(f"the loss of step {at['step'] + 1} is not finite")
            rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()
            at["step"] += 1
            at["batch"] += 1
            if at["step"] % config.log_every == 0:
                rows.append({"step": at["step"], "loss": loss.item(), "lr": rate})
            if stopped or at["step"] == stop_at:
                checkpoint("last.pt")
                return None
        rows.append({"step": at["step"], **validate(model, loss_fn, *held_out, config)})
        at["epoch"], at["batch"] = at["epoch"] + 1, 0
        if rows[-1]["val_jaccard_index"] > at["best"]:
            at["best"] = rows[-1]["val_jaccard_index"]
            checkpoint("best.pt")
        checkpoint("last.pt")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return model.state_dict(), rows


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = {each.name: type(each.default) for each in fields(Config)}
    train(Config(**{name: kinds[name](value) for name, value in given.items()}))
