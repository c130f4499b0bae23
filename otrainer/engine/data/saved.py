"""What a checkpoint holds of the data, and how a loader goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import IterableDataset

from otrainer.engine.seed import RandomStream
from otrainer.errors import ConfigError
from otrainer.protocols import EpochLoader, Stateful


@dataclass(frozen=True)
class SavedData:
    """The state of a loader: `epoch` is the one that it was in, or had ended; `facts` are what a position
    in it depends on, and `beside` is the state of the other stage's loader. `at_end` says that the epoch's last batch
    was read, and that the state is that of its end, at which the next epoch begins.

    `generators` has those that loader and data hold as they stood before that epoch, at its `beginning`, and `now`.
    """

    part: Any = None
    stream: Mapping[str, Any] | None = None
    epoch: int | None = None
    generators: Mapping[str, Any] = field(default_factory=lambda: {"beginning": {}, "now": {}})
    facts: Mapping[str, Any] | None = None
    beside: dict[str, Any] | None = None
    at_end: bool = False

    @classmethod
    def of(cls, state: Mapping[str, Any] | None) -> SavedData:
        """Take what a checkpoint has: of an older one `part` and `stream`, or nothing."""
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in (state or {}).items() if name in known})

    def unread(self) -> dict[str, Any]:
        """Return what of it still holds while no batch was asked for."""
        generators = dict(self.generators)
        return {"stream": self.stream, "epoch": self.epoch, "generators": generators, "at_end": self.at_end}

    def generators_before(self, epoch: int) -> Mapping[str, Any]:
        """Return where generators stood before any batch of `epoch` was asked for."""
        found: Mapping[str, Any] = self.generators["beginning" if epoch == self.epoch else "now"]
        return found

    def is_inside(self, epoch: int, start: int) -> bool:
        """Return whether it was saved in `epoch`, after its first batch."""
        return start > 0 and self.epoch in (None, epoch)

    def went_on(self) -> RandomStream | None:
        """Return the random stream of a stateful loader as it was left; None for any other loader."""
        if self.stream is None:
            return None
        stream = RandomStream(0)
        stream.load_state_dict(dict(self.stream))
        return stream


def is_at_end(batches: Any) -> bool:
    """Return whether an iterator of torch's DataLoader has come to the end of its stream.

    It has so with a last batch that is smaller than the others, before anybody asks for one more.
    """
    return bool(getattr(getattr(batches, "_dataset_fetcher", None), "ended", False))


def check_same_kind(saved: SavedData, part: Any) -> None:
    """Raise ConfigError unless both the saved data and these keep a state of their own, or neither does."""
    if (part is None) != (saved.part is None):
        has, had = ("has none" if part is None else "has one"), ("none" if saved.part is None else "one")
        message = f"The checkpoint holds {had} of the training data's own state, and the data of this config {has}."
        hint = "Resume with the data that it was saved with, or train from the start."
        raise ConfigError(message, title="data does not match the checkpoint", config_path=("data",), hint=hint)


def used_up(stage: str, epoch: int) -> ConfigError:
    """Report a loader that had batches in an epoch, and has none in a later one."""
    message = f"`{stage}_dataloader` gave no batch for epoch {epoch + 1}: what it returns was used up before."
    hint = "Return a list or a DataLoader, which can be read again, or a new iterator at each call."
    return ConfigError(message, title="data used up", config_path=("data",), hint=hint)


def stateful_part(loader: Any) -> Stateful | None:
    """Return what knows how far a loader was read: itself, or the iterable dataset of a DataLoader without workers."""
    dataset = getattr(loader, "dataset", None) if getattr(loader, "num_workers", 0) == 0 else None
    stream = (dataset, getattr(dataset, "samples", None)) if isinstance(dataset, IterableDataset) else ()
    for part in (loader, *stream):
        if isinstance(part, Stateful) and not isinstance(part, EpochLoader):
            return part
    return None
