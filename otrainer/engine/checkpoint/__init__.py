"""Checkpoints: one mapping of parts that know their own state, loaded as data only (`weights_only=True`).

Parts: `model` (the plain state dict), `attributes` of its modules, `optimizer`, `parameters`, `scheduler`, `scaler`,
`callbacks`, `metrics`, `loggers`, `loss`, `io`, `data`, `flags`, `train_state` (`epoch`, `global_step`,
`micro_step_in_epoch`, `epoch_trained`, `epoch_complete`, `should_stop`), `logs`, `turns`, `rng`, `meta`; beside the
`model` for use the weights that are `trained`, where they differ.
"""

from __future__ import annotations

from otrainer.engine.checkpoint.form import PARTS
from otrainer.engine.checkpoint.forms import FORMAT
from otrainer.engine.checkpoint.load import damaged, load_checkpoint, unreadable
from otrainer.engine.checkpoint.restore import (
    begin_state,
    check_fits,
    hyperparameters,
    load_model_state,
    load_trained,
    restore,
)
from otrainer.engine.checkpoint.save import capture, check_loadable, save_checkpoint

__all__ = [
    "FORMAT", "PARTS", "begin_state", "capture", "check_fits", "check_loadable", "damaged", "hyperparameters",
    "load_checkpoint", "load_model_state", "load_trained", "restore", "save_checkpoint", "unreadable",
]  # fmt: skip
