"""No flipped bit and no truncation of a run's checkpoint goes unnoticed, with an optimizer's state in it and without.

`python tests/campaigns/flips.py` tries 5,000 bits and every length, and exits with 1 where one was not noticed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.file_format import DamagedError, check_container

OPTIMIZERS = {
    "with optimizer state": {"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-3}},
    "without": {"type": "optim_cls.SGD", "kwargs": {"lr": 1e-2}},
}


def checkpoint(folder: Path, optimizer: dict[str, object]) -> bytes:
    fit(
        small_model(),
        Batches(random_batches(3)),
        optimizer=optimizer,
        callbacks=[ModelCheckpoint(str(folder), background=False)],
    )
    load_checkpoint(folder / "last.pt")
    return (folder / "last.pt").read_bytes()


def is_noticed(path: Path, content: bytes | bytearray) -> bool:
    path.write_bytes(content)
    try:
        check_container(path)
    except DamagedError:
        return True
    return False


def flips(content: bytes, path: Path, chance: random.Random, count: int) -> list[int]:
    """The bits, of so many, whose change was not noticed."""
    unnoticed = []
    for place in chance.sample(range(len(content) * 8), min(count, len(content) * 8)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        if not is_noticed(path, changed):
            unnoticed.append(place)
    return unnoticed


def truncations(content: bytes, path: Path, every: int) -> list[int]:
    """The lengths at which the end's absence was not noticed."""
    return [length for length in range(0, len(content), every) if not is_noticed(path, content[:length])]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=5000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    chance, total = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory() as text:
        for name, optimizer in OPTIMIZERS.items():
            content = checkpoint(Path(text) / name, optimizer)
            bits = flips(content, Path(text) / "changed.pt", chance, given.flips)
            lengths = truncations(content, Path(text) / "changed.pt", given.every)
            cut = len(range(0, len(content), given.every))
            print(
                f"{name} ({len(content):,} bytes): {given.flips} flips, {len(bits)} unnoticed; {cut} truncations, {len(lengths)} unnoticed"
            )
            total += len(bits) + len(lengths)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
