"""Data that can be read once only: told where another epoch needs it, and looked at without loss before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, random_batches, small_model
from torch.utils.data import DataLoader, IterableDataset

from otrainer.components.data import DatasetDataModule
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


class Once:
    """A data module that makes its iterators once."""

    def __init__(self, train: Any, val: Any = None) -> None:
        self.train, self.val = train, val

    def train_dataloader(self) -> Any:
        return self.train

    def val_dataloader(self) -> Any:
        return self.val


class Winding:
    """An iterator that begins anew by `iter`."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Winding:
        self.at = 0
        return self

    def __next__(self) -> int:
        if self.at == 3:
            raise StopIteration
        self.at += 1
        return self.at


@pytest.mark.parametrize("stage", ["train", "val"])
def test_an_iterator_that_is_handed_out_again_is_an_error_in_the_epoch_that_gets_nothing(stage: str) -> None:
    used, notes = iter(random_batches(3)), Notes()
    data = Once(used) if stage == "train" else Once(random_batches(3), used)
    with pytest.raises(ConfigError, match=f"`{stage}_dataloader` gave no batch for epoch 2") as error:
        fit(small_model(), data, trainer={"max_epochs": 3}, loggers=[notes])

    assert error.value.config_path == ("data",)
    assert len(notes.values("val", "val_loss")) == (1 if stage == "val" else 0)


def test_one_epoch_may_be_read_from_an_iterator() -> None:
    given, notes = random_batches(3), Notes()
    fit(small_model(), Once(iter(given), iter(given)), loggers=[notes])
    fit(small_model(), Once(given, given), loggers=[notes])

    assert len(set(notes.values("val", "val_loss"))) == 1


class Stateful(IterableDataset[Any]):
    def __init__(self) -> None:
        self.at, self.put = 0, False

    def __iter__(self) -> Iterator[Any]:
        self.at, self.put = (self.at if self.put else 0), False
        while self.at < 5:
            self.at += 1
            yield torch.tensor(self.at)

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at, self.put = state["at"], True


def drawing() -> Iterator[int]:
    return (int(torch.randint(99, ())) for _ in range(4))


KINDS: dict[str, Any] = {
    "list": lambda: Batches([1, 2, 3]),
    "used once": lambda: Once(iter([1, 2, 3])),
    "winding": lambda: Once(Winding()),
    "generator": lambda: Batches(drawing),
    "torch's": lambda: Batches(DataLoader(list(range(6)), batch_size=2, shuffle=True)),
    "torch's with a generator": lambda: Batches(
        DataLoader(list(range(6)), batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(1))
    ),
    "stateful": lambda: DatasetDataModule(Stateful(), batch_size=2),
    "ours": lambda: DatasetDataModule(range(6), batch_size=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_at_the_first_batch_leaves_no_trace(kind: str) -> None:
    def epochs(peeked: bool) -> list[list[Any]]:
        loader = Loader(KINDS[kind]().train_dataloader, seed=4, stage="val")
        first = loader.peek(0)[0] if peeked else None
        given = [[torch.as_tensor(batch).tolist() for batch in loader.epoch(epoch)] for epoch in range(2 - once)]
        assert not peeked or torch.as_tensor(first).tolist() == given[0][0] or kind == "generator"
        return given

    once = kind == "used once"
    assert epochs(peeked=True) == epochs(peeked=False)
    assert len(epochs(peeked=True)[0]) >= 3
