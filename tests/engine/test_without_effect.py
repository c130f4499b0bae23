"""Arguments that are declared to change nothing of what is trained: each is tried, and comes to the same bits."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from support import fit, same_leaves

from otrainer.config import Settings
from otrainer.registry import build_registry, instantiate_value
from otrainer.registry.effects import WHOLE, as_counted, is_read_by_index, uncounted
from otrainer.registry.usage import registered_in


class Augmented:
    """A map-style data set that draws from each kind of generator: torch's, numpy's, and one of its own."""

    def __init__(self) -> None:
        self.own = torch.Generator().manual_seed(5)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        x = torch.randn(4) + torch.rand(4, generator=self.own) + index / 20
        return {"x": x, "y": x.sum().reshape(1)}


@dataclass
class Ended:
    """What training came to: weights, what the optimizer and the random generators hold."""

    state: dict[str, Any] = field(default_factory=dict)

    def on_fit_end(self, ctx: Any) -> None:
        parts = (ctx.model.state_dict(), ctx.optimizer.state_dict(), torch.get_rng_state())
        self.state = dict(zip(("model", "optimizer", "random"), parts, strict=True))


# How a component is configured where it does what its arguments are for.
SPECS: dict[str, dict[str, Any]] = {
    "data.dataset": {"train": {"_type_": "my.augmented"}, "batch_size": 6},
    "log.stdout": {"every_n_steps": 2},
    "cb.throughput": {"window": 2},
    "cb.profiler": {"wait": 1, "warmup": 1, "active": 1},
    "cb.lr_monitor": {"momentum": True},
    "cb.model_checkpoint": {"save_dir": "checkpoints", "every_n_steps": 2},
}
# An argument that means nothing unless others are set has these beside it.
BESIDE = {("data.dataset", "timeout"): {"num_workers": 1}, ("data.dataset", "pin_memory"): {"num_workers": 1}}
# Other values of an argument, where its default does not say what they could be.
VALUES: dict[str, list[Any]] = {
    "pin_memory": [True, False],
    "every_n_steps": [1, None],
    "every_n_epochs": [1],
    "every_n_minutes": [0.001, 1.0],
    "num_workers": [2],
    "path": ["elsewhere.json"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what a component writes goes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def registry() -> Any:
    found = build_registry()
    found.register_module("my.augmented", Augmented)
    return found


def declared() -> Iterator[tuple[str, str]]:
    """Every argument of what is declared; where that is a component as a whole, it and each of its own."""
    for key in build_registry().list_modules():
        entry = build_registry().get_module(key)
        for name, _ in entry.without_effect:
            yield key, name
            yield from ((key, each) for each in inspect.signature(entry.target).parameters if name == WHOLE)


def other_values(key: str, name: str) -> list[Any]:
    """Values to try: those of the table, or some made of the argument's default."""
    if name in VALUES:
        return VALUES[name]
    default = inspect.signature(registry().get_module(key).target).parameters[name].default
    made: dict[type, list[Any]] = {bool: [not default], int: [1, 2], float: [default / 2 if default else 1.0]}
    assert type(default) in made, f"say in VALUES which values of `{key}`'s `{name}` to try"
    return made[type(default)]


def trained(key: str, spec: dict[str, Any] | None) -> dict[str, Any]:
    """Train with a component as `spec` says, or without it, and return what that came to."""
    parts: dict[str, Any] = {"data": {"_type_": "data.dataset", **SPECS["data.dataset"]}, "log": [], "cb": []}
    section = key.partition(".")[0]
    assert section in parts, f"say how a component of `{section}.` is fitted"
    if spec is not None:
        whole = {"_type_": key, **spec}
        parts[section] = [whole] if isinstance(parts[section], list) else whole
    built = {name: instantiate_value(part, registry=registry(), settings=Settings()) for name, part in parts.items()}
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    ended = Ended()
    adam = {"type": "optim_cls.AdamW", "kwargs": {"lr": 0.01}}
    fit(
        model,
        built["data"],
        loggers=built["log"],
        callbacks=[*built["cb"], ended],
        optimizer=adam,
        trainer={"max_epochs": 2},
    )
    return ended.state


@pytest.mark.parametrize(("key", "name"), list(declared()))
def test_each_argument_declared_without_effect_comes_to_the_same_bits(key: str, name: str) -> None:
    """What is declared is tried, so that nobody can declare what no test has seen."""
    spec = SPECS[key]
    plain = trained(key, spec)
    assert len(plain["optimizer"]["state"]) == 4
    if name == WHOLE:
        assert same_leaves(trained(key, None), plain)
        return
    for value in other_values(key, name):
        assert same_leaves(trained(key, {**spec, **BESIDE.get((key, name), {}), name: value}), plain), value


def test_the_comparison_would_see_another_argument() -> None:
    spec = SPECS["data.dataset"]

    assert not same_leaves(trained("data.dataset", {**spec, "shuffle": False}), trained("data.dataset", spec))


@pytest.mark.parametrize(
    ("target", "is_indexed"),
    [
        (Augmented, True),
        (torch.utils.data.TensorDataset, True),
        (torch.utils.data.IterableDataset, False),
        (type("Both", (torch.utils.data.IterableDataset,), {"__getitem__": None}), False),
        (type("Stream", (), {"__iter__": None}), False),
        (lambda: Augmented(), False),
    ],
)
def test_workers_share_out_what_is_read_by_index_and_only_that(target: Any, is_indexed: bool) -> None:
    """Of an iterable-style data set each reads a part of its own, in whose order the number shows."""
    assert is_read_by_index(target) is is_indexed


@pytest.mark.parametrize(
    ("change", "counts"), [({"every_n_steps": 3}, True), ({"keep_last": 1}, True), ({"background": False}, False)]
)
def test_which_checkpoints_a_run_leaves_is_what_it_is_though_its_weights_are_the_same(
    folder: Path, change: dict[str, Any], counts: bool
) -> None:
    """A finished run cannot give the files that another rhythm would have left; how they are written is nobody's."""

    def left(spec: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        for file in folder.glob("checkpoints/*"):
            file.unlink()
        state = trained("cb.model_checkpoint", spec)
        return state, sorted(path.name for path in folder.glob("checkpoints/*.pt"))

    def counted(spec: dict[str, Any]) -> Any:
        config = {"callbacks": [{"_type_": "cb.model_checkpoint", **spec}]}
        facts = registered_in(build_registry())("cb.model_checkpoint").facts(())
        return as_counted(config, uncounted(config, [{"key": "cb.model_checkpoint", **facts}]))

    plain = SPECS["cb.model_checkpoint"]
    (state, files), (other_state, other_files) = left(plain), left({**plain, **change})
    assert same_leaves(other_state, state)
    assert (other_files != files) is counts
    assert (counted({**plain, **change}) != counted(plain)) is counts
