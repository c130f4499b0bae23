"""What a checkpoint costs: how long it stalls training, until it is durable, and to load; against torch.save.

    python tests/bench/checkpoint.py [MEGABYTES] [REPEATS]

Budgets: it stalls training for at most 0.35x of a plain torch.save, is durable within what torch.save plus fsync take,
and loads within 1.2x of the copy into the parameters. AdamW's state makes three times the size of the parameters.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from otrainer.engine.checkpoint.file_format import check_container, read_container
from otrainer.engine.checkpoint.snapshot import Snapshots
from otrainer.engine.checkpoint.writer import Saved, Writer
from otrainer.engine.tree import leaves

WIDTH = 1024


def main(megabytes, repeats):
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model, optimizer = make(megabytes)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "train_state": {"global_step": 1}}
        writer, found = Writer(), {}

        def note(name, seconds):
            found.setdefault(name, []).append(seconds)

        start = time.perf_counter()
        writer.prepare(state)
        note("reserving calls for", time.perf_counter() - start)
        note("slowest step while reserving", steps_until(lambda: writer._reserved.done()))
        note("reserved after", time.perf_counter() - start)
        for turn in range(repeats + 1):
            for kind in ("torch.save", "otrainer"):
                path = Path(folder, f"{kind}.pt")
                start = time.perf_counter()
                if kind == "otrainer":
                    writer.save(state, Saved((path,), 1, 0))
                    note("first stall" if turn == 0 else "stall", time.perf_counter() - start)
                    note("slowest step meanwhile", steps_until(lambda: writer.is_done))
                    writer.wait()
                    note("durable", time.perf_counter() - start)
                else:
                    torch.save(state, path)
                    note("torch.save", time.perf_counter() - start)
                    sync(path)
                    note("torch.save and fsync", time.perf_counter() - start)
                path.rename(Path(folder, f"{kind}-{turn % 2}.pt"))  # a new file each time, as a rename leaves it
        path, live = Path(folder, "otrainer-0.pt"), Snapshots(keep=False).take(state)[0]
        for _ in range(repeats):
            start = time.perf_counter()
            check_container(path)
            note("check", time.perf_counter() - start)
            start = time.perf_counter()
            parts = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            mapped = time.perf_counter()
            copy(parts, state)
            note("copy out of the map", time.perf_counter() - mapped)
            note("map and copy", time.perf_counter() - start)
            start = time.perf_counter()
            copy(live, state)
            note("copy in memory", time.perf_counter() - start)
            start = time.perf_counter()
            copy(read_container(path), state)
            note("check, map and copy", time.perf_counter() - start)
    middle = {name: statistics.median(values[1:] or values) for name, values in found.items()}
    print(f"{3 * megabytes} MB, {repeats} times; one thread")
    for name, seconds in middle.items():
        print(f"  {name:28} {seconds:7.3f} s")
    print(f"stall {middle['stall'] / middle['torch.save']:.2f}x of torch.save (budget 0.35)")
    print(f"first stall {middle['first stall'] / found['torch.save'][0]:.2f}x of the first torch.save")
    print(f"durable {middle['durable'] / middle['torch.save and fsync']:.2f}x of torch.save and fsync (budget 1)")
    mapped, checked = middle["map and copy"], middle["check, map and copy"]
    for name, seconds in (("mapped", mapped), ("checked and mapped", checked)):
        ratios = [seconds / middle[kind] for kind in ("copy out of the map", "copy in memory")]
        print(
            f"{name} load {ratios[0]:.2f}x of the copy out of the map (budget 1.2), {ratios[1]:.2f}x of one in memory"
        )


def make(megabytes):
    """A model of so many MB of parameters, and AdamW after a step."""
    count = max(1, megabytes * 10**6 // (WIDTH * WIDTH * 4))
    model = torch.nn.ParameterList([torch.randn(WIDTH, WIDTH) for _ in range(count)])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def steps_until(is_done):
    """The longest of the small steps that run until `is_done`."""
    weight, slowest = torch.randn(64, 64), 0.0
    while not is_done():
        start = time.perf_counter()
        weight = torch.tanh(weight @ weight)
        slowest = max(slowest, time.perf_counter() - start)
    return slowest


def copy(source, target):
    """All tensors of a state into those of another."""
    with torch.no_grad():
        for name in ("model", "optimizer"):
            for mine, other in zip(leaves(target[name]), leaves(source[name]), strict=True):
                mine.copy_(other)


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:])) if len(sys.argv) > 2 else (int(sys.argv[1]) if len(sys.argv) > 1 else 500, 4))
