"""The built-in callbacks."""

from __future__ import annotations

from otrainer.components.callbacks.early_stopping import EarlyStopping
from otrainer.components.callbacks.model_checkpoint import ModelCheckpoint

__all__ = ["EarlyStopping", "ModelCheckpoint"]
