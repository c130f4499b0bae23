"""What tests of whole projects share: writing experiments, calling doit, reading weights."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

import otrainer
from otrainer.fingerprint.sources import Sources
from otrainer.stages.definition import CODE_CACHE

OWN = Path(otrainer.__file__).parent


def write(project: Path, name: str, text: str) -> str:
    path = project / "configs/experiments" / f"{name}.yaml"
    path.write_text(text.replace("CONFIGS", "..").lstrip())
    return str(path)


def weights(run: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(run) / "checkpoints/last.pt", weights_only=True)["model"]


@cache
def parsed() -> Path:
    """Parse otrainer's own sources, and return the folder in which that is remembered until this process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    sources = Sources(folder)
    for path in OWN.rglob("*.py"):
        parts = path.relative_to(OWN.parent).with_suffix("").parts
        sources.from_content(path.read_bytes(), path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return folder


def parsed_before(project: Path) -> None:
    """Let the project remember what an earlier call would have parsed of otrainer, where there was none."""
    folder = project / CODE_CACHE
    if not folder.exists():
        shutil.copytree(parsed(), folder, copy_function=shutil.copyfile)


def doit(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    parsed_before(project)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environ}
    command = [sys.executable, "-m", "doit", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
