"""What a run holds in memory at most, against a loop written by hand with the same model.

    python tests/bench/memory.py

Budget: within 2 %, while no checkpoint is being saved. Each is the peak of a process of its own; `activations` is a
model whose values between its layers take the most, `parameters` one whose parameters and AdamW's state do, and
`validation` looks at batches without gradients. `outputs` gives back far more than it was given, as language models do.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from itertools import pairwise

CASES = ("activations", "parameters", "validation", "outputs")
STEPS = 3
# Freed blocks go back at once, so that the peak is what is held, not what the allocator keeps in pieces (2 % of it).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}


def model_section(case):
    widths = {"activations": [1024] * 9, "parameters": [6144] * 3, "validation": [1024] * 9, "outputs": [64, 16384]}[
        case
    ]
    layers = [
        {"_type_": "nn.Linear", "in_features": before, "out_features": after} for before, after in pairwise(widths)
    ]
    return {"sequential": {"inputs": ["x"], "layers": layers}}, widths


def batches(case):
    import torch

    _, widths = model_section(case)
    rows = {"activations": 16384, "parameters": 64, "validation": 16384, "outputs": 4096}[case]
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(rows, widths[0], generator=generator)} for _ in range(STEPS)]


def mean_square(outputs):
    return (outputs * outputs).mean()


def by_hand(case):
    import torch

    section, _ = model_section(case)
    layers = section["sequential"]["layers"]
    model = torch.nn.Sequential(*(torch.nn.Linear(row["in_features"], row["out_features"]) for row in layers))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    data = batches(case)
    for batch in [{"x": data[0]["x"][:1]}] if case == "validation" else data:
        loss = mean_square(model(batch["x"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for batch in data if case == "validation" else ():
        with torch.no_grad():
            mean_square(model(batch["x"])).item()


def by_otrainer(case):
    from otrainer.components.io import MappingIO
    from otrainer.components.loss import LossOutput
    from otrainer.components.optim import TorchOptimizerFactory
    from otrainer.deps.model_constructor import build_model, resolve_config
    from otrainer.engine.trainer import DefaultTrainer
    from otrainer.registry import build_registry

    section, _ = model_section(case)
    data = batches(case)

    class Data:
        def train_dataloader(self):
            return [{"x": each["x"][:1]} for each in data[:1]] if case == "validation" else data

        def val_dataloader(self):
            return data if case == "validation" else None

    def loss(*, outputs, targets, batch, stage):
        return LossOutput(mean_square(outputs))

    DefaultTrainer().fit(
        model=build_model(resolve_config({"schema_version": 1, "model": section})),
        datamodule=Data(),
        io=MappingIO(model_kwargs={"x": ["x"]}),
        loss=loss,
        optimizer_factory=TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 1e-4}),
        registry=build_registry(),
        run={"name": "bench", "out_dir": "runs/bench"},
    )


def peak(way, case):
    """The largest resident size of a process that does it, in MB."""
    command = [sys.executable, __file__, way, case]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **ALLOCATOR})
    return int(done.stdout.split()[-1]) / 1024


def main():
    for case in CASES:
        hand, own = peak("by_hand", case), peak("by_otrainer", case)
        print(f"{case:12} by hand {hand:7.0f} MB, otrainer {own:7.0f} MB, ratio {own / hand:.3f} (budget 1.02)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import torch

        torch.set_num_threads(1)
        {"by_hand": by_hand, "by_otrainer": by_otrainer}[sys.argv[1]](sys.argv[2])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    else:
        main()
