"""Compares resolving a config with PyYAML's loaders on the same files: `python tests/bench/resolve.py [--rounds N]`.

The candidates run in turn in one process, round after round, each file as often as the largest is larger, so that a
busy machine disturbs all of them alike; the round with the best time counts. The last column is how the time of one run
grew over the file a tenth as large.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from otrainer.config import resolve_config

SIZES = (1_000, 10_000, 100_000)
HEAD = """\
schema_version: 1
settings: {strict: true, allowed_import_prefixes: [otrainer., extensions.]}
run: {name: bench, seed: 1, out_dir: "runs/${run.name}"}
model: {sequential: {layers: [{_type_: nn.Linear, in_features: 8, out_features: 8}]}}
templates:
  block: {_type_: conv_bn_act, kernel_size: 3, stride: 1, act: {_type_: nn.ReLU, inplace: true}}
"""
SECTION = """\
section_{n}:
  _type_: data.dataset
  batch_size: 32
  learning_rate: 1e-3
  save_dir: ${{run.out_dir}}/section_{n}
  description: a sentence of ordinary length about section {n}
  shuffle: true
  workers: null
  betas: [0.9, 0.999, {n}]
  block: {{_template_: block, stride: 2}}
  transforms:
    - {{_type_: transform.crop, size: [28, 28], padding: 2}}
    - {{_type_: transform.normalize, mean: 0.5, std: 0.25, seed: "${{run.seed}}"}}
"""
NODES_PER_SECTION = 27


def config_text(nodes: int) -> str:
    """An experiment of about `nodes` nodes, with a few expressions and a template in every section."""
    return HEAD + "".join(SECTION.format(n=n) for n in range(nodes // NODES_PER_SECTION))


def candidates(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    content = path.read_bytes()
    yield "resolve_config", lambda: resolve_config(path, env={}).data
    yield "CSafeLoader", lambda: yaml.load(content, Loader=yaml.CSafeLoader)
    yield "SafeLoader", lambda: yaml.load(content, Loader=yaml.SafeLoader)


def timed(call: Callable[[], object], repeats: int) -> float:
    """The mean time of a run in seconds."""
    gc.collect()
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def best_times(paths: dict[int, Path], rounds: int) -> dict[tuple[int, str], float]:
    """The best time of each candidate by size; the slow one in pure Python runs once."""
    best: dict[tuple[int, str], float] = {}
    for turn in range(rounds):
        for size, path in paths.items():
            for name, call in candidates(path):
                slow = name == "SafeLoader"
                if slow and turn:
                    continue
                took = timed(call, 1 if slow else max(paths) // size)
                best[size, name] = min(took, best.get((size, name), took))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder) / f"{size}.yaml" for size in SIZES}
        for size, path in paths.items():
            path.write_text(config_text(size), encoding="utf-8")
        times = best_times(paths, rounds)
    print(f"{'nodes':>8}  {'candidate':<15}{'ms':>9}{'against CSafeLoader':>21}{'growth':>9}")
    for (size, name), took in times.items():
        before = times.get((size // 10, name))
        growth = f"{took / before:.1f}x" if before else ""
        print(f"{size:>8}  {name:<15}{took * 1000:>9.1f}{took / times[size, 'CSafeLoader']:>20.2f}x{growth:>9}")


if __name__ == "__main__":
    main()
