"""What components keep, in attributes or in a `state_dict`, is theirs again after a resume; what cannot be is told."""

from __future__ import annotations

import copy
import logging
import random
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.engine.state import RunContext

Pair = namedtuple("Pair", "step loss")


class Base:
    """A component that begins with nothing, and keeps more with each step."""

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.step(ctx)

    def step(self, ctx: RunContext) -> None:
        raise NotImplementedError

    def kept(self) -> Any:
        return vars(self)


def train(folder: Path, steps: int, *, callbacks: Any = (), **parts: Any) -> None:
    """Train up to a step of an epoch, or from the last checkpoint there."""
    last = folder / "last.pt"
    fit(
        small_model(),
        Batches(random_batches(3)),
        trainer={"max_epochs": steps // 3},
        callbacks=[*callbacks, ModelCheckpoint(str(folder))],
        **parts,
        run={"resume_from": str(last)} if last.exists() else {},
    )


def whole_and_continued(make: Callable[[], Any], folder: Path, place: str = "callbacks") -> tuple[Any, Any]:
    """One component that saw six steps, and another that saw the last three of them, after a resume."""
    whole, first, second = make(), make(), make()
    train(folder / "whole", 6, **{place: [whole]})
    train(folder / "parts", 3, **{place: [first]})
    train(folder / "parts", 6, **{place: [second]})
    return whole, second


class Many(Base):
    """All kinds of state, none of which is there at first."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.window: deque[float] | None = None
        self.counts: Any = None
        self.pairs: list[Pair] = []
        self.seen: set[int] = set()
        self.by_kind: Any = defaultdict(lambda: deque(maxlen=2))
        self.array = np.zeros(2)
        self.nested = {"a": [OrderedDict()], 1: (np.float32(0),)}

    def step(self, ctx: RunContext) -> None:
        loss, step = ctx.last_train_logs["loss"], ctx.state.global_step
        self.mean = np.float64(self.mean) * 0.5 + np.float64(loss)
        self.window = deque([*(self.window or ()), loss], maxlen=4)
        self.counts = Counter([*(self.counts or Counter()).elements(), step % 2])
        self.pairs.append(Pair(step, loss))
        self.seen.add(step)
        self.by_kind[step % 2].append(step)
        self.array += loss
        self.nested["a"][0][(step, "x")] = np.int64(step)


def test_attributes_of_many_kinds_go_on(tmp_path: Path) -> None:
    whole, second = whole_and_continued(Many, tmp_path)

    assert repr(second.kept()).replace("0x", "") is not None
    for name, value in vars(whole).items():
        other = getattr(second, name)
        assert type(other) is type(value), name
        assert np.array_equal(other, value) if name == "array" else other == value, name
    assert second.window.maxlen == 4
    assert second.by_kind["new"].maxlen == 2
    assert type(second.pairs[0]) is Pair


class ByStateDict(Many):
    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "by_kind"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def test_a_state_dict_of_many_kinds_comes_back(tmp_path: Path) -> None:
    whole, second = whole_and_continued(ByStateDict, tmp_path)

    assert (second.window, second.counts, second.pairs, second.seen) == (
        whole.window,
        whole.counts,
        whole.pairs,
        whole.seen,
    )
    assert type(second.mean) is np.float64
    assert second.mean == whole.mean
    assert np.array_equal(second.array, whole.array)


class Ema(Base):
    """A copy of the model, made with the first step."""

    def __init__(self) -> None:
        self.model: Any = None

    def step(self, ctx: RunContext) -> None:
        if self.model is None:
            self.model = copy.deepcopy(ctx.model).eval().requires_grad_(False)
        with torch.no_grad():
            for mine, its in zip(self.model.parameters(), ctx.model.parameters(), strict=True):
                mine.data.mul_(0.5).add_(its.data, alpha=0.5)


class PartEma(Ema):
    """A copy of a part of the model, in a mapping."""

    def step(self, ctx: RunContext) -> None:
        if self.model is None:
            self.model = {"head": [copy.deepcopy(ctx.model[2])]}  # type: ignore[index]  # it is a Sequential
        with torch.no_grad():
            self.model["head"][0].weight.lerp_(ctx.model[2].weight, 0.5)  # type: ignore[index]


class Averaged(Base):
    """What torch has for it, around the model of the constructor."""

    def __init__(self) -> None:
        self.model = torch.optim.swa_utils.AveragedModel(small_model(seed=9))

    def step(self, ctx: RunContext) -> None:
        self.model.update_parameters(ctx.model)


def tensors_of(model: Any) -> list[torch.Tensor]:
    module = model["head"][0] if isinstance(model, dict) else model
    return list(module.state_dict().values())


@pytest.mark.parametrize("make", [Ema, PartEma, Averaged])
def test_a_copy_of_the_model_goes_on_as_it_was(make: Any, tmp_path: Path) -> None:
    whole, second = whole_and_continued(make, tmp_path)

    assert all(map(torch.equal, tensors_of(whole.model), tensors_of(second.model)))
    if make is Ema:
        assert [module.training for module in second.model.modules()] == [False] * 4
        assert not any(parameter.requires_grad for parameter in second.model.parameters())


class LazyCopy(Ema):
    """A copy of a model that was lazy when it was built."""


@pytest.mark.parametrize("stops", [(1,), (1, 2), (1, 2, 3)])
def test_a_copy_of_a_lazy_model_goes_on_after_every_stop(stops: tuple[int, ...], tmp_path: Path) -> None:
    def train_to(folder: Path, epochs: int) -> LazyCopy:
        torch.manual_seed(3)
        model, copied, last = (
            torch.nn.Sequential(torch.nn.LazyLinear(4), torch.nn.Linear(4, 1)),
            LazyCopy(),
            folder / "last.pt",
        )
        saves = ModelCheckpoint(str(folder))
        run = {"resume_from": str(last)} if last.exists() else {}
        fit(model, Batches(random_batches(2)), trainer={"max_epochs": epochs}, callbacks=[copied, saves], run=run)
        return copied

    whole = train_to(tmp_path / "whole", 4)
    for stop in (*stops, 4):
        parts = train_to(tmp_path / "parts", stop)

    assert all(map(torch.equal, tensors_of(whole.model), tensors_of(parts.model)))


class BegunAnew(Base):
    """Begins in `on_fit_start`, as one does who knows of no resume; what is only for this process is made there too."""

    def __init__(self) -> None:
        self.seen = 0

    def on_fit_start(self, ctx: RunContext) -> None:
        self.model, self.losses, self.began = copy.deepcopy(ctx.model), list[float](), ctx.state.global_step

    def step(self, ctx: RunContext) -> None:
        self.losses.append(ctx.last_train_logs["loss"])
        self.seen += 1
        with torch.no_grad():
            for mine, its in zip(self.model.parameters(), ctx.model.parameters(), strict=True):
                mine.lerp_(its, 0.5)


def test_what_was_trained_outlives_an_on_fit_start_that_begins_anew(tmp_path: Path) -> None:
    whole, second = whole_and_continued(BegunAnew, tmp_path)

    assert (second.losses, second.seen) == (whole.losses, 6)
    assert all(map(torch.equal, tensors_of(whole.model), tensors_of(second.model)))
    assert (whole.began, second.began) == (0, 3)


class Refers(Base):
    """Holds parts of the run, by attributes that are set once."""

    def __init__(self) -> None:
        self.ready = False
        self.held: dict[str, Any] = {}

    def step(self, ctx: RunContext) -> None:
        if not self.ready:
            layer, weight = ctx.model[0], ctx.model[2].weight  # type: ignore[index]  # it is a Sequential
            self.held = {"layers": [ctx.model, layer], "weight": weight, "run": (ctx.optimizer, ctx), "me": self}
            self.ready = True
        self.here = self.held["layers"][0] is ctx.model and self.held["weight"] is ctx.model[2].weight  # type: ignore[index]
        self.here &= self.held["run"] == (ctx.optimizer, ctx) and self.held["layers"][1] is ctx.model[0]  # type: ignore[index]


def test_parts_of_the_run_that_an_attribute_holds_are_those_of_the_new_run(tmp_path: Path) -> None:
    _, second = whole_and_continued(Refers, tmp_path)

    assert second.here
    assert second.held["me"] is second


@dataclass
class Tracker:
    """A helper of a component."""

    total: float = 0.0
    history: list[float] = field(default_factory=list)


class WithHelpers(Base):
    def __init__(self) -> None:
        self.early = Tracker()
        self.late: dict[str, Tracker] = {}
        self.lock = threading.Lock()
        self.function = lambda value: value * 2

    def step(self, ctx: RunContext) -> None:
        loss = ctx.last_train_logs["loss"]
        for tracker in (self.early, self.late.setdefault("a", Tracker(1.0))):
            tracker.total += self.function(loss)
            tracker.history.append(loss)


def test_objects_that_help_a_component_go_on_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, second = whole_and_continued(WithHelpers, tmp_path)

    assert (second.early, second.late) == (whole.early, whole.late)
    assert caplog.messages == []


class Draws(Base):
    """Generators of its own, of which a helper holds one as well."""

    def __init__(self) -> None:
        self.python = random.Random(1)  # noqa: S311 - nothing here is secret
        self.torch = torch.Generator().manual_seed(2)
        self.numpy = [np.random.default_rng(3), np.random.RandomState(4)]
        self.helper = {"same": self.numpy[0]}
        self.drawn: list[float] = []

    def step(self, ctx: RunContext) -> None:
        self.drawn += [self.python.random(), torch.rand(1, generator=self.torch).item()]
        self.drawn += [self.numpy[0].normal(), self.numpy[1].randn(), self.helper["same"].normal()]


@pytest.mark.parametrize("place", ["callbacks", "metrics"])
def test_generators_go_on_where_they_were(place: str, tmp_path: Path) -> None:
    class Metric(Draws):
        def update(self, *, stage: str, **_: Any) -> None:
            if stage == "train":
                self.step(None)  # type: ignore[arg-type]  # it does not look

        on_train_step_end = None  # type: ignore[assignment]

    whole, second = whole_and_continued(Draws if place == "callbacks" else Metric, tmp_path, place)

    assert second.drawn == whole.drawn
    assert second.helper["same"] is second.numpy[0]


def test_a_generator_of_an_io_and_what_it_holds_go_on(tmp_path: Path) -> None:
    from support import PairIO

    class NoisyIO(PairIO):
        def __init__(self) -> None:
            self.noise, self.drawn = np.random.default_rng(1), list[float]()

        def split(self, batch: Any, *, stage: str) -> Any:
            self.drawn.append(self.noise.normal())
            return super().split(batch, stage=stage)

    whole, first, second = NoisyIO(), NoisyIO(), NoisyIO()
    train(tmp_path / "whole", 6, io=whole)
    train(tmp_path / "parts", 3, io=first)
    train(tmp_path / "parts", 6, io=second)

    assert first.drawn == whole.drawn[: len(first.drawn)]
    assert second.drawn == whole.drawn


class Keeps(Base):
    def __init__(self, value: Any, since: int = 0) -> None:
        self.value, self.since, self.count = None if since else value, since, 0
        self.given = (value,) if since else ()

    def step(self, ctx: RunContext) -> None:
        self.count += 1
        if self.since and self.count >= self.since:
            self.value = self.given[0]


def open_file() -> Any:
    return Path(__file__).open()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (open_file, "is a `TextIOWrapper`"),
        (lambda: iter([1, 2]), "is a `list_iterator`"),
        (lambda: torch.ones(1, requires_grad=True) * 2, "is a tensor with a graph"),
        (lambda: {"a": [open_file()]}, "is a `TextIOWrapper`"),
    ],
)
@pytest.mark.parametrize("since", [0, 2])
def test_what_cannot_be_saved_is_told_once_by_name_and_the_rest_is_saved(
    value: Any, words: str, since: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Keeps(value(), since), Keeps(value(), since)
    train(tmp_path, 3, callbacks=[first])
    told = [message for message in caplog.messages if "Keeps" in message]
    train(tmp_path, 6, callbacks=[second])

    assert len(told) == len({message.split()[0] for message in told}) > 0
    assert all("(callbacks[0])" in message and words in message for message in told)
    assert second.count == 6
    assert second.value is not None


def test_what_has_no_state_and_is_as_it_was_built_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Fixed(Base):
        def __init__(self) -> None:
            self.parts = {"f": lambda: 0, "lock": threading.Lock(), "log": logging.getLogger("x"), "kind": Fixed}
            self.count = 0

        def step(self, ctx: RunContext) -> None:
            self.count += 1

    _, second = whole_and_continued(Fixed, tmp_path)

    assert caplog.messages == []
    assert second.count == 6
    assert callable(second.parts["f"])


def test_a_lambda_that_came_later_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Later(Base):
        def __init__(self) -> None:
            self.function: Any = len

        def step(self, ctx: RunContext) -> None:
            self.function = lambda: 0

    train(tmp_path, 3, callbacks=[Later()])

    (message,) = caplog.messages
    assert message.startswith(
        "`function` of `test_a_lambda_that_came_later_is_told.<locals>.Later` (callbacks[0]) is a lambda."
    )


def test_a_value_in_a_state_dict_that_cannot_be_saved_is_told_and_is_as_a_new_one_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Sick(Base):
        def __init__(self) -> None:
            self.handle, self.count = object(), 0

        def step(self, ctx: RunContext) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, Any]:
            return {"handle": self.handle, "count": self.count}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.loaded = state
            self.handle, self.count = state["handle"], state["count"]

    train(tmp_path, 3, callbacks=[Sick()])
    second = Sick()
    mine = second.handle
    train(tmp_path, 6, callbacks=[second])

    assert "`handle` of" in caplog.messages[0]
    assert (second.count, second.handle is mine, second.loaded["count"]) == (6, True, 3)


class Slots:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.count += 1

    def kept(self) -> int:
        return self.count


@dataclass(frozen=True)
class Frozen(Base):
    counts: list[int] = field(default_factory=list)

    def step(self, ctx: RunContext) -> None:
        object.__setattr__(self, "counts", [*self.counts, ctx.state.global_step])


@pytest.mark.parametrize("make", [Slots, Frozen])
def test_slots_and_frozen_dataclasses_keep_their_state(make: Any, tmp_path: Path) -> None:
    whole, second = whole_and_continued(make, tmp_path)

    assert second.kept() == whole.kept()


class Center(torch.nn.Module):
    """A term of a loss with a buffer that moves, one that is configured, a parameter and a plain counter."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(1))
        self.register_buffer("scale", torch.tensor(scale))
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.training:
            self.center.lerp_(prediction.detach().mean(0), 0.1)
            with torch.no_grad():
                self.weight.mul_(0.9)
        return ((prediction - self.center - target * self.weight) ** 2).mean() * self.scale


class ModuleLoss(torch.nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.term = Center(scale)

    def forward(self, *, outputs: Any, targets: Any, **_: Any) -> LossOutput:
        return LossOutput(self.term(outputs, targets["y"]))


class HoldingLoss:
    def __init__(self, scale: float = 1.0) -> None:
        self.terms = [{"center": Center(scale)}]

    def __call__(self, *, outputs: Any, targets: Any, **_: Any) -> LossOutput:
        return LossOutput(self.terms[0]["center"](outputs, targets["y"]))


LOSSES: list[tuple[Any, Any]] = [
    (ModuleLoss, lambda loss: loss.term),
    (HoldingLoss, lambda loss: loss.terms[0]["center"]),
    (lambda scale=1.0: TorchLoss(Center(scale)), lambda loss: loss.fn),
]


@pytest.mark.parametrize(("make", "term_of"), LOSSES)
def test_modules_of_a_loss_go_on_whole_but_for_what_is_configured(make: Any, term_of: Any, tmp_path: Path) -> None:
    whole, first, second, other = make(), make(), make(), make(scale=3.0)
    train(tmp_path / "whole", 6, loss=whole)
    train(tmp_path / "parts", 3, loss=first)
    train(tmp_path / "parts", 6, loss=second)
    train(tmp_path / "parts", 9, loss=other)

    one, two = term_of(whole), term_of(second)
    assert (two.calls, two.center, two.weight) == (one.calls, one.center, one.weight)
    assert term_of(other).scale == 3
    assert term_of(other).calls > two.calls
