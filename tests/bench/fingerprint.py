"""What fingerprints of a plugin tree of 200 modules cost: cold, warm from disk, and with one module edited.

    python tests/bench/fingerprint.py [REPEATS]

Budget: cold under a second, and unchanged modules are not parsed again. Every figure is the best of several fresh
processes with one thread, taken in turns, imports included; ratios are to parsing and to compiling the same tree.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from support import REPO, quiet_place, timed

MODULES = 200
ROOMS = ("data", "layers", "losses", "optim", "tools", "", "", "")
HEAD = '''\
"""Module {n} of a plugin tree."""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

{imports}

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)
WIDTH_{n} = {n} * 2 + 1
RATES_{n} = {{"low": 1e-4, "middle": 1e-3, "high": {n} / 1000}}
NAMES_{n} = tuple(f"stage_{{index}}" for index in range(4))


def clip_{n}(value: float, low: float = 0.0, high: float = WIDTH_{n}) -> float:
    """`value`, at least `low` and at most `high`."""
    return max(low, min(high, value))


@functools.cache
def table_{n}(size: int) -> tuple[float, ...]:
    """Weights that fall off with the square root."""
    return tuple(1 / math.sqrt(1 + index) for index in range(size))


@dataclass(frozen=True)
class Options{n}:
    """What a part may be told."""

    rate: float = 1e-3
    names: list[str] = field(default_factory=list)
    limits: tuple[float, float] = (0.0, 1.0)

    def clipped(self, value: float) -> float:
        return clip_{n}(value, *self.limits)

    @property
    def scale(self) -> float:
        return RATES_{n}.get("middle", self.rate) * {used}


class Block{n}(nn.Module):
    """A block with a residual connection.

    It keeps the width of what it is given.
    """

    def __init__(self, width: int, *, expand: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Sequential(
            nn.Linear(width, width * expand),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width * expand, width),
        )
        self.gain = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.gain * self.inner(self.norm(x))


'''
METHODS = '''\
class Part{n}{k}:
    """Number {k} of the parts of module {n}."""

    default = {{"width": WIDTH_{n}, "factor": {k}}}

    def __init__(self, rate: float = 1e-3, options: Options{n} | None = None) -> None:
        self.options = options or Options{n}(rate=rate)
        self.seen: list[float] = []

    def __call__(self, batch: dict[str, Any], *, stage: str = "train") -> float:
        total = 0.0
        for name, values in sorted(batch.items()):
            if name.startswith("_") or not values:
                continue
            weights = table_{n}(len(values))
            part = sum(weight * float(value) for weight, value in zip(weights, values))
            total += self.options.clipped(part) if stage == "train" else part
        self.seen.append(total)
        return total * self.options.scale + {other}

    def summary(self, names: Iterable[str]) -> dict[str, float]:
        try:
            mean = sum(self.seen) / len(self.seen)
        except ZeroDivisionError:
            log.info("nothing seen yet")
            return {{}}
        return {{name: mean + index for index, name in enumerate(names) if name not in self.default}}


'''
PLUGIN_EVERY = 20


def main(repeats):
    with tempfile.TemporaryDirectory(dir=quiet_place()) as name:
        folder = Path(name)
        lines = make_tree(folder)
        print(f"{MODULES} modules, {lines} lines, {MODULES // 2} components, best of {repeats}")
        measured = {kind: [] for kind in ("parse", "compile", "cold", "warm", "edited")}
        for turn in range(repeats):
            for kind, found in measured.items():
                prepare(kind, folder, turn)
                found.append(measure(kind, folder))
    best = {kind: min(found, key=lambda each: each["seconds"]) for kind, found in measured.items()}
    for kind, found in best.items():
        seconds = found["seconds"]
        against = ", ".join(f"{seconds / best[other]['seconds']:.2f}x {other}" for other in ("parse", "compile"))
        print(f"{kind:8} {seconds * 1e3:7.0f} ms, {found['parsed']:3} sources parsed, {against}")


def make_tree(folder):
    """Write the tree; says how many lines it has."""
    places = [place(number) for number in range(MODULES)]
    total = 0
    for number, own in enumerate(places):
        path = folder / f"{own.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        text = text_of(number, places)
        path.write_text(text)
        total += text.count("\n")
    return total


def place(number):
    room = ROOMS[number % len(ROOMS)]
    return ".".join(filter(None, ("plug", room, f"m{number}")))


def text_of(number, places):
    """A module that imports a few of those before it; every twentieth is a plugin with parts of every other one."""
    others = sorted({(number * 7 + 3) % number, number // 2, number - 1}) if number else []
    imports = "\n".join(f"from {places[other]} import WIDTH_{other}, clip_{other}" for other in others)
    used = f"clip_{others[0]}(1.0)" if others else "1"
    text = HEAD.format(n=number, imports=imports, used=used)
    for k in range(3):
        text += METHODS.format(n=number, k=k, other=f"WIDTH_{others[-1]}" if others else "0")
    if number % PLUGIN_EVERY == PLUGIN_EVERY - 1:
        text += register_of(number, places)
    return text


def register_of(number, places):
    last = range(number - PLUGIN_EVERY + 1, number, 2)
    lines = [f"    from {places[each]} import Part{each}0" for each in last]
    lines += [f'    registry.register_module("loss.part{each}", Part{each}0)' for each in last]
    return "def register(registry):\n" + "\n".join(lines) + "\n"


def prepare(kind, folder, turn):
    if kind == "cold":
        shutil.rmtree(folder / "cache", ignore_errors=True)
    if kind == "edited":
        path = folder / f"{place(MODULES // 2).replace('.', '/')}.py"
        path.write_text(f"{path.read_text()}\nEDIT = {turn}\n")


def measure(kind, folder):
    """What a fresh process says of itself."""
    out = folder / "out.json"
    env = {**os.environ, "PYTHONPATH": f"{REPO}{os.pathsep}{folder}", "OMP_NUM_THREADS": "1"}
    timed([__file__, "--inside", kind, str(folder), str(out)], folder, env)
    return json.loads(out.read_text())


def inside(kind, folder, out):
    """Do it, and write how long it took and how many sources were parsed."""
    import time

    parsed = []
    sys.addaudithook(lambda event, given: parsed.append(1) if event == "compile" and given[1] == "<unknown>" else None)
    start = time.perf_counter()
    WORK.get(kind, fingerprints)(folder)
    Path(out).write_text(json.dumps({"seconds": time.perf_counter() - start, "parsed": len(parsed)}))


def parse(folder):
    import ast

    for path in folder.glob("plug/**/*.py"):
        ast.parse(path.read_bytes())


def compile_all(folder):
    for path in folder.glob("plug/**/*.py"):
        compile(path.read_bytes(), str(path), "exec")


def fingerprints(folder):
    from otrainer.fingerprint import Fingerprints

    places = [place(number) for number in range(MODULES)]
    prints = Fingerprints(root=folder, cache=folder / "cache")
    plugins = places[PLUGIN_EVERY - 1 :: PLUGIN_EVERY]
    prints.modules(plugins)
    for number, plugin in enumerate(plugins):
        prints.plugin(plugin)
        first = number * PLUGIN_EVERY
        for each in range(first, first + PLUGIN_EVERY - 1, 2):
            prints.registered(plugin, f"loss.part{each}", f"{places[each]}:Part{each}0")


WORK = {"parse": parse, "compile": compile_all}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], Path(sys.argv[3]), sys.argv[4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
