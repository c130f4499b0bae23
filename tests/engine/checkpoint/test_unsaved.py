"""What an optimizer changes beside its `state_dict` is told once, at a save; what is saved or stays is no news."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint.unsaved import names_read


class Factory:
    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def build(self, model: nn.Module, *, registry: Any) -> Any:
        return self.make(list(model.parameters()))


class Noisy(torch.optim.SGD):
    """Adds noise that falls with the steps; has both outside of its state."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, lr=0.05, momentum=0.9)
        self.steps, self.generator, self.kept = 0, torch.Generator().manual_seed(1), [1, 2]
        self.order = list(self.param_groups[0]["params"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        for parameter in self.order:
            parameter.grad.add_(torch.randn(parameter.shape, generator=self.generator) * 0.1 / self.steps)
        return super().step()


class Careful(Noisy):
    """Saves them."""

    def state_dict(self) -> Any:
        return {**super().state_dict(), **self.more()}

    def more(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("steps",)} | {"noise": self.generator.get_state()}

    def load_state_dict(self, state: Any) -> None:
        self.steps = state["steps"]
        self.generator.set_state(state["noise"])
        super().load_state_dict({name: state[name] for name in ("state", "param_groups")})


class Around:
    """Steps another optimizer, and keeps slow weights by parameter; `saves` says whether its state has them."""

    def __init__(self, params: Any) -> None:
        self.inner = torch.optim.SGD(params, lr=0.05, momentum=0.9)
        self.param_groups, self.state = self.inner.param_groups, defaultdict(dict)  # type: ignore[var-annotated]
        self.slow = {each: each.detach().clone() for each in params}

    def step(self, closure: Any = None) -> None:
        self.inner.step()
        for each, slow in self.slow.items():
            slow.lerp_(each.detach(), 0.5)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none)

    def state_dict(self) -> Any:
        return self.inner.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.inner.load_state_dict(state)


class Climbs(torch.optim.Optimizer):
    """Has a base, whose momentum is none of its own state: as in well-known code for sharpness-aware steps."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.05})
        self.base = torch.optim.SGD(self.param_groups, lr=0.05, momentum=0.9)
        self.param_groups = self.base.param_groups

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        return self.base.step()


def told(folder: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Any], Any], **options: Any) -> list[str]:
    """What is told of the optimizer in two epochs with a checkpoint each."""
    saves = ModelCheckpoint(str(folder))
    data = Batches(random_batches(3))
    fit(small_model(), data, optimizer=Factory(make), callbacks=[saves], trainer={"max_epochs": 2}, **options)
    return [text for text in caplog.messages if "of the optimizer" in text]


def test_what_training_changes_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (text,) = told(tmp_path, caplog, Noisy)

    assert text.startswith("training changes `generator`, `steps` of the optimizer, which its `state_dict` does not")
    assert "`Noisy`" in text


@pytest.mark.parametrize(("make", "name"), [(Around, "slow"), (Climbs, "base")])
def test_so_are_slow_weights_and_the_state_of_an_optimizer_within(
    make: Any, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (text,) = told(tmp_path, caplog, make)
    assert f"training changes `{name}` of the optimizer" in text


class Plain(torch.optim.AdamW):
    """A class of somebody's own with settings."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, lr=0.01)
        self.settings, self.held = {"clip": 0.1}, dict.fromkeys(params, 1.0)


@pytest.mark.parametrize("make", [Careful, Plain, lambda params: torch.optim.AdamW(params, lr=0.01)])
def test_what_is_saved_or_stays_is_no_news(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scheduler = {"type": "sched_cls.StepLR", "kwargs": {"step_size": 1}, "interval": "epoch"}
    assert told(tmp_path, caplog, make, scheduler=scheduler) == []


def test_names_are_those_that_a_state_dict_reads() -> None:
    assert {"steps", "generator", "more", "param_groups"} <= names_read(Careful)
    assert "param_groups" not in names_read(Around)
    assert "inner" in names_read(Around)
