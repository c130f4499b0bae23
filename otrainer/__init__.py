"""Make for training: YAML experiments whose stages are cached doit tasks, on PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otrainer.experiment import run_experiment as run_experiment
    from otrainer.stages.load_model import load_model as load_model

LAZY = {"load_model": "otrainer.stages.load_model", "run_experiment": "otrainer.experiment"}
__all__ = ["load_model", "run_experiment"]


def __getattr__(name: str) -> Any:
    """Import what needs torch once it is used."""
    if name in LAZY:
        from importlib import import_module

        return getattr(import_module(LAZY[name]), name)
    raise AttributeError(f"module 'otrainer' has no attribute '{name}'")
