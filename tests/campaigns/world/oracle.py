"""What a project would train from nothing, found without anything that decides whether it has to."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from campaigns.world import start
from campaigns.world.place import World


def number_of(world: World) -> int | str:
    """Return the number to which this world, of which nothing was ever built, trains; or how it fails."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile() as out:

        def work() -> int:
            start.begin(world.root, world.environ, world.site, (out.fileno(), out.fileno()), str(world.root))
            told.write(json.dumps(trained(world.root)))
            told.flush()
            return 0

        start.ended(start.fork(work))
        told.seek(0)
        if text := told.read():
            return int(json.loads(text))
        out.seek(0)
        return (out.read().decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"])[-1]


def trained(root: Path) -> int:
    import torch

    from otrainer.config import resolve_config
    from otrainer.registry import build_registry, instantiate_value, load_plugins
    from otrainer.storage.project import project

    with project(root):
        config, registry = resolve_config(root / "configs/experiments/a.yaml", root=root), build_registry()
        load_plugins(config.data["imports"], registry=registry, settings=config.settings)
        data, loss = (
            instantiate_value(config.data[name], registry=registry, settings=config.settings, config_path=(name,))
            for name in ("data", "loss")
        )
        data.setup("fit")
        (batch,) = data.train_dataloader()
        return int(loss(outputs=torch.zeros(1, 1), targets={"y": batch["y"]}, batch=batch, stage="train").loss)


def held(world: World) -> int | None:
    """Return the number that the run in the project's folder was trained to."""
    file = world.root / "runs/a/metrics.jsonl"
    if not file.exists():
        return None
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return next((int(row["loss"]) for row in rows if row["stage"] == "train"), None)
