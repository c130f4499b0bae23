"""What a model keeps in plain attributes goes on after a stop, and is told where it cannot."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.errors import ConfigError


class Regression(nn.Module):
    """A layer whose output goes by what its attributes hold."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(4, 1)
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def factor(self, y: torch.Tensor) -> Any:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y * self.factor(y.detach())


class Anneals(Regression):
    """A temperature that falls with each call, whatever the mode."""

    def begin(self) -> None:
        self.tau = 1.0

    def factor(self, y: torch.Tensor) -> Any:
        self.tau = max(0.9 * self.tau, 0.1)
        return self.tau


class Remembers(Regression):
    """Containers of every kind, which are changed in place."""

    def begin(self) -> None:
        self.window, self.seen, self.kinds = deque([0.0], maxlen=3), {"sum": [0.0]}, Counter[int]()
        self.array, self.first = np.zeros(2), None

    def factor(self, y: torch.Tensor) -> Any:
        mean = float(y.mean())
        self.window.append(mean)
        self.seen["sum"][0] += mean
        self.kinds[len(self.seen) % 2] += 1
        self.array += [1, mean]
        self.first = mean if self.first is None else self.first
        return 1 + sum(self.window) + self.seen["sum"][0] + self.array.mean() + self.kinds[1] / 10 + self.first


class Unregistered(Regression):
    """A running mean in a tensor that is no buffer, another one with each call; and a cache with its graph."""

    def begin(self) -> None:
        self.mean = torch.zeros(1)

    def factor(self, y: torch.Tensor) -> Any:
        self.mean = 0.9 * self.mean + y.mean(dim=0)
        self.last = self.layer.weight.sum()
        return 1 + self.mean


class InPart(nn.Module):
    """The same in a part, beside a registered buffer that is set anew."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = Unregistered(), nn.Linear(1, 1)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(x))
        self.scale = 0.5 * self.scale + 0.5 * y.detach().abs().mean()
        return y * self.scale


class SetByAStep(Regression):
    """A buffer that is not set at first, and one that grows."""

    def begin(self) -> None:
        self.register_buffer("mean", None)
        self.register_buffer("bank", torch.zeros(0, 1))

    def factor(self, y: torch.Tensor) -> Any:
        now = y.mean(dim=0)
        if self.training:
            self.mean = now if self.mean is None else 0.9 * self.mean + 0.1 * now
            self.bank = torch.cat([self.bank, now[None]])
        return 1 + self.bank.sum() + (0 if self.mean is None else self.mean)


class RemovedByAStep(Regression):
    """A buffer that the third step removes."""

    def begin(self) -> None:
        self.left = 3
        self.register_buffer("mean", torch.ones(1))

    def factor(self, y: torch.Tensor) -> Any:
        factor = 1.0 if self.mean is None else 1 + self.mean
        if self.training:
            self.left -= 1
            if self.left == 0:
                self.mean = None
        return factor


class Aliases(Regression):
    """A buffer that moves, which an attribute, a list and a view see too."""

    def begin(self) -> None:
        self.register_buffer("mean", torch.ones(2))
        self.alias, self.all, self.first = self.mean, [self.mean], self.mean[:1]

    def factor(self, y: torch.Tensor) -> Any:
        if self.training:
            self.mean.add_(0.1 * y.mean().tanh())
        return (self.alias.mean() + self.all[0].sum() + self.first) / 8


class NotPersistent(Regression):
    """Buffers that the model's own state leaves out, of which one is written to and one set anew."""

    def begin(self) -> None:
        self.register_buffer("mean", torch.ones(1), persistent=False)
        self.register_buffer("last", torch.ones(1), persistent=False)
        self.register_buffer("table", torch.arange(3.0), persistent=False)

    def factor(self, y: torch.Tensor) -> Any:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * y.mean())
            self.last = 0.5 * self.last + y.mean(dim=0)
        return self.mean + self.last + self.table.sum()


class Deletes(Regression):
    """An attribute that the third step deletes."""

    def begin(self) -> None:
        self.warm = 3

    def factor(self, y: torch.Tensor) -> Any:
        if not hasattr(self, "warm"):
            return 1.0
        if self.training:
            self.warm -= 1
            if self.warm == 0:
                del self.warm
        return 0.5


class Counts(nn.Module):
    """A layer that counts in a store, which others may count in too."""

    def __init__(self, store: dict[str, Any], numbers: torch.Tensor) -> None:
        super().__init__()
        self.store, self.numbers = store, numbers

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.store["calls"] = self.store.get("calls", 0) + 1
            self.store["seen"] = [*self.store.get("seen", ()), float(y.mean())]
            self.numbers += 0.01
        return y * (1 + 0.05 * self.store.get("calls", 0)) + self.numbers


class Shares(Regression):
    """Two layers and the model hold one dictionary and one tensor."""

    def begin(self) -> None:
        self.store, self.numbers = dict[str, Any](), torch.zeros(1)
        self.one, self.two = Counts(self.store, self.numbers), Counts(self.store, self.numbers)

    def factor(self, y: torch.Tensor) -> Any:
        return self.two(self.one(y)).mean() + self.numbers


class StartsFrom(Regression):
    """A tensor, a list and an array that are replaced, while others hold what they were before."""

    def begin(self) -> None:
        self.start, self.first, self.zeros = torch.ones(1), [1.0], np.zeros(2)
        self.now, self.rest, self.array = self.start, self.first, self.zeros

    def factor(self, y: torch.Tensor) -> Any:
        mean = y.mean(dim=0).tanh()
        self.now = 0.5 * self.now + mean
        self.rest = [0.5 * self.rest[0] + float(mean)]
        self.array = self.array + 1
        before = self.start + self.first[0] + self.zeros.sum()
        return (self.now + self.rest[0] + self.array.sum() / 9 + before) / 8


class InitialisedByData(nn.Module):
    """Takes a weight from the first batch, and notes in an attribute that it did; its widths may come with that too."""

    def __init__(self, *, lazy: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.LazyLinear(1) if lazy else nn.Linear(4, 1)
        self.bias, self.initialised = nn.Parameter(torch.zeros(1)), False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        if not self.initialised:
            self.bias.data.copy_(-y.detach().mean(dim=0))
            self.initialised = True
        return y + self.bias


MODELS: dict[str, Callable[[], nn.Module]] = {
    "a temperature": Anneals,
    "containers": Remembers,
    "a tensor": Unregistered,
    "in a part": InPart,
    "what sees a buffer": Aliases,
    "buffers that are not persistent": NotPersistent,
    "an attribute that is deleted": Deletes,
    "what several share": Shares,
    "what begins as another": StartsFrom,
    "a buffer that grows": SetByAStep,
    "a buffer that is removed": RemovedByAStep,
    "initialised by data": InitialisedByData,
    "initialised by data, lazy": lambda: InitialisedByData(lazy=True),
}


def train(folder: Path, model: nn.Module, epochs: int, **parts: Any) -> dict[str, torch.Tensor]:
    last = folder / "last.pt"
    run = {"resume_from": str(last)} if last.exists() else {}
    data, callbacks = Batches(random_batches(2), random_batches(1, seed=5)), [ModelCheckpoint(str(folder))]
    fit(model, data, trainer={"max_epochs": epochs}, callbacks=callbacks, run=run, **parts)
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def plain(model: nn.Module, epochs: int) -> dict[str, torch.Tensor]:
    """What a loop comes to that is written by hand: validation follows each epoch."""
    if isinstance(getattr(model, "layer", None), nn.LazyLinear):
        with torch.no_grad():
            model.layer(random_batches(2)[0]["x"])  # type: ignore[operator]  # its width alone
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for batch in random_batches(2):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
            optimizer.step()
        with torch.no_grad():
            model.eval()(random_batches(1, seed=5)[0]["x"])
            model.train()
    return dict(model.state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_it_trains_as_a_plain_loop_does_and_goes_on_so_after_any_stop(name: str, tmp_path: Path) -> None:
    expected = plain(MODELS[name](), 4)

    whole = train(tmp_path / "whole", MODELS[name](), 4)
    for epochs in (1, 2, 4):
        parts = train(tmp_path / "parts", MODELS[name](), epochs)

    for key, value in expected.items():
        assert torch.allclose(whole[key], value, rtol=1e-6, atol=0), key
        assert torch.equal(whole[key], parts[key]), key


def test_what_did_not_change_is_the_config_s(tmp_path: Path) -> None:
    class Scaled(Anneals):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale

    train(tmp_path, Scaled(2.0), 1)
    second = Scaled(5.0)
    train(tmp_path, second, 2)

    assert second.scale == 5.0
    assert second.tau == pytest.approx(0.9**6)
    assert load_checkpoint(tmp_path / "last.pt")["attributes"] == {"": {"tau": second.tau}}


class Streams(Regression):
    """What has no state, as it was built, and what nobody can write down."""

    def begin(self) -> None:
        self.lock, self.words = threading.Lock(), None

    def factor(self, y: torch.Tensor) -> Any:
        self.words = (word for word in "ab")
        return 1.0


def test_what_no_checkpoint_can_hold_is_told_once_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "otrainer"):
        train(tmp_path, Streams(), 2)

    (told,) = [record.getMessage() for record in caplog.records if "No checkpoint" in record.getMessage()]
    assert told.startswith("`words` of `Streams` (model) is a `generator`. No checkpoint can hold that: ")


def test_a_buffer_that_the_config_gives_another_shape_is_still_refused(tmp_path: Path) -> None:
    class Table(Regression):
        def __init__(self, length: int) -> None:
            super().__init__()
            self.register_buffer("table", torch.zeros(length))

        def begin(self) -> None:
            pass

        def factor(self, y: torch.Tensor) -> Any:
            return 1 + self.table.sum()

    train(tmp_path, Table(2), 1)
    with pytest.raises(ConfigError, match=r"`table` is \[3\] here and \[2\] there"):
        train(tmp_path, Table(3), 2)


class Writes(TorchLoss):
    """A loss that keeps its values in a list of the model's."""

    def __init__(self, history: list[float]) -> None:
        super().__init__(nn.MSELoss())
        self.history = history

    def __call__(self, **given: Any) -> LossOutput:
        found = super().__call__(**given)
        self.history.append(float(found.loss.detach()))
        return found


class Reads(Regression):
    def begin(self) -> None:
        self.history: list[float] = []

    def factor(self, y: torch.Tensor) -> Any:
        return 1 + 0.05 * len(self.history)


def test_a_list_that_loss_and_model_share_is_one_after_a_stop(tmp_path: Path) -> None:
    whole = Reads()
    expected = train(tmp_path / "whole", whole, 3, loss=Writes(whole.history))
    for epochs in (1, 3):
        model = Reads()
        found = train(tmp_path / "parts", model, epochs, loss=Writes(model.history))

    assert model.history == whole.history
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_a_buffer_that_is_not_persistent_and_does_not_move_is_not_saved(tmp_path: Path) -> None:
    train(tmp_path, NotPersistent(), 1)

    assert sorted(load_checkpoint(tmp_path / "last.pt")["attributes"][""]) == ["last", "mean"]
