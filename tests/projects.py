"""What tests of whole projects share: writing experiments, calling doit, reading weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


def shipped(folder: Path) -> Path:
    """Copy what the repository ships into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dodo.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("configs", "extensions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def write(project: Path, name: str, text: str) -> str:
    path = project / "configs/experiments" / f"{name}.yaml"
    path.write_text(text.replace("CONFIGS", "..").lstrip())
    return str(path)


def weights(run: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(run) / "checkpoints/last.pt", weights_only=True)["model"]


def doit(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environ}
    command = [sys.executable, "-m", "doit", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
