"""What tests of whole projects share: writing experiments, calling doit, reading weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch


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
