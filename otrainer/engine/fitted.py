"""Modules that are fitted to the training data before the first step: statistics of it, kept with the weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.engine.data.loader import Loader, worker_trouble
from otrainer.engine.loss_modules import loss_modules
from otrainer.engine.seed import RandomStream
from otrainer.errors import ConfigError
from otrainer.storage.canonical_json import write_json

if TYPE_CHECKING:
    from otrainer.engine.parts import Parts
    from otrainer.engine.state import RunSettings

log = logging.getLogger("otrainer")
FILE = "statistics.json"


class FittedModule(nn.Module):
    """A module whose buffers are statistics of the training data.

    Before the first step of a run it sees each batch of the training data once, in order. Its buffers go into
    checkpoints with the weights, so a resume, an evaluation and `load_model` have the numbers that were trained with;
    one that starts from `weights` keeps those. A buffer may get its shape from the data.
    """

    fitted: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(0))

    def see(self, batch: Any) -> None:
        """Take in a batch of the training data, on the CPU."""
        raise NotImplementedError

    def settle(self) -> None:
        """Set the buffers by all batches, now that they were seen: `fitted` to how many numbers each is of."""
        raise NotImplementedError

    def said(self) -> dict[str, Any]:
        """Return what it is fitted to, as plain data for people to read."""
        return {name: own.tolist() for name, own in self._buffers.items() if own is not None}

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name, own in self._buffers.items():
            kept = state_dict.get(prefix + name)
            if isinstance(kept, torch.Tensor) and own is not None and kept.shape != own.shape:
                self._buffers[name] = own.new_empty(kept.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


def fitted_modules(*roots: nn.Module) -> dict[str, FittedModule]:
    """Return all such modules below some, by name."""
    return {name: each for root in roots for name, each in root.named_modules() if isinstance(each, FittedModule)}


def unfitted(*roots: nn.Module) -> dict[str, FittedModule]:
    """Return those that have seen no data, and have nothing of a checkpoint of one that has."""
    return {name: each for name, each in fitted_modules(*roots).items() if not int(each.fitted)}


def open_buffers(model: nn.Module) -> set[str]:
    """Return the names of buffers that get their shape from the training data, or from weights to start from."""
    found = fitted_modules(model).items()
    return {f"{prefix}.{name}" if prefix else name for prefix, each in found for name in each._buffers}


def fit_modules(parts: Parts, run: RunSettings, train: Loader, most: int | None, *, is_new: bool) -> None:
    """Let modules of the model and the loss see the training data once, in a run that has no checkpoint yet.

    Training goes on as if nobody had read them. Data without an end are read for `most` batches.
    """
    waiting = unfitted(parts.model, *loss_modules(parts.loss).values()) if is_new else {}
    if not waiting:
        return
    with torch.no_grad(), RandomStream(run.seed), training_batches(parts.datamodule, run.seed, train, most) as batches:
        for batch in batches:
            for each in waiting.values():
                each.see(batch)
    for each in waiting.values():
        each.settle()


def refuse_unfitted(trainer: Any, model: nn.Module) -> None:
    """Raise ConfigError where modules wait for statistics, and a trainer does not begin as `trainer.default` does."""
    if not getattr(trainer, "infers_widths", False) and (waiting := unfitted(model)):
        message = (
            f"`{next(iter(waiting))}` waits for statistics of the training data, which this trainer does not take."
        )
        hint = "Let the trainer extend `trainer.default`."
        raise ConfigError(message, title="not fitted to the data", config_path=("model",), hint=hint)


def tell_fitted(parts: Parts, run: RunSettings) -> None:
    """Leave in the run's folder what such modules are fitted to, if there are any."""
    if found := fitted_modules(parts.model, *loss_modules(parts.loss).values()):
        Path(run.out_dir).mkdir(parents=True, exist_ok=True)
        write_json(Path(run.out_dir) / FILE, {name: each.said() for name, each in found.items()})


@contextmanager
def training_batches(datamodule: Any, seed: int, train: Loader, most: int | None) -> Iterator[Iterable[Any]]:
    """Yield the training data once: all samples in order, where the data module gives them so, or its first epoch."""
    in_order = batches_in(datamodule, "train")
    bound = most if train.batches() is None else None
    if train.batches() is None and most is None:
        log.warning(
            "the training data are read to their end before the first step, for statistics of them; where they have "
            "none, let `trainer.train_batches` say how many batches are looked at."
        )
    loader = train if in_order is None else Loader(partial(batches_in, datamodule, "train"), seed=seed, stage="train")
    try:
        with worker_trouble(), loader.peeking(0, bound) as batches:
            yield batches
    finally:
        if loader is not train:
            loader.close()


def batches_in(datamodule: Any, split: str) -> Iterable[Any] | None:
    """Return the batches of a split; None where a data module offers none."""
    own: Callable[[str], Iterable[Any] | None] | None = getattr(datamodule, "batches_of", None)
    return own(split) if callable(own) else None
