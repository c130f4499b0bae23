"""A value that cannot be what its parameter says is told with what to write; where nothing is certain, nothing is."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NewType, Optional, Protocol, TypeVar

import pytest
import torch
from torch import nn

from otrainer.registry import build_registry, check_call

if TYPE_CHECKING:
    from json import JSONDecoder as Path2

    from nowhere import Text  # type: ignore[import-not-found]

T = TypeVar("T")
Width = NewType("Width", int)


class Sized(Protocol):
    def size(self) -> int: ...


class Mode(enum.Enum):
    FAST = "fast"


def part(
    flag: bool = True,
    width: Width = 8,
    rate: float = 0.1,
    name: str = "x",
    dims: Sequence[int] = (),
    betas: tuple[float, float] = (0.9, 0.999),
    mode: Literal["min", "max"] = "min",
    limit: Optional[float] = None,  # noqa: UP045 - as older code writes it
    inner: nn.Module | None = None,
    options: Mapping[str, int] | None = None,
    plain=True,
    size=3,
) -> None: ...


def told(**given: Any) -> list[tuple[Any, ...]]:
    return [
        (each.config_path[1:], each.message.partition(" of `part` is ")[2], *each.suggestions, each.hint)
        for each in check_call(part, (), given, "strict", ("at",))
        if each.title == "wrong type"
    ]


@pytest.mark.parametrize(
    ("given", "message", "step"),
    [
        ({"flag": "off"}, "true or false, not the text `off`.", "Write `flag: false`."),
        ({"flag": 1}, "true or false, not `1`.", "Write `flag: true`."),
        ({"rate": "0,001"}, "a number, not the text `0,001`.", "Write `rate: 0.001`, with a point."),
        ({"rate": None}, "a number, not null.", "Leave it out for its default, or write `rate: 0.1`, for example."),
        ({"rate": True}, "a number, not `true`.", "Write `rate: 1`."),
        ({"name": 2024}, "text, not `2024`.", 'Write `name: "2024"`.'),
        ({"dims": "64"}, "a list, not the text `64`.", "Write `dims: [64]`."),
        ({"dims": 64}, "a list, not `64`.", "Write `dims: [64]`."),
        ({"betas": "(0.9, 0.99)"}, "a list of 2 values, not the text `(0.9, 0.99)`.", "Write `betas: [0.9, 0.99]`."),
        ({"betas": [0.9]}, "a list of 2 values, not of 1.", "Write `betas: [0.1, 0.1]`, for example."),
        ({"limit": "None"}, "a number or null, not the text `None`.", "Write `limit: null`."),
        (
            {"inner": "nn.ReLU"},
            "a mapping, a spec or null, not the text `nn.ReLU`.",
            "Write `inner: {_type_: nn.ReLU}`.",
        ),
        ({"plain": "No"}, "true or false, not the text `No`.", "Write `plain: false`."),
    ],
)
def test_what_to_write_instead_is_told(given: dict[str, Any], message: str, step: str) -> None:
    assert told(**given) == [((*given,), message, step)]


def test_a_text_that_is_a_number_names_the_cast_for_the_environment() -> None:
    (rate, width) = told(rate="2.0", width="8")

    assert rate[-1] == "Write `rate: 2.0` without quotes, or, from the environment, with a cast: `${env:float:NAME}`."
    assert width[-1].endswith("`${env:int:NAME}`.")


def test_the_nearest_of_several_words_is_meant() -> None:
    assert told(mode="mni") == [(("mode",), "one of `min`, `max`, not the text `mni`.", "min", "")]


def test_wrong_values_are_told_where_they_stand_and_all_together() -> None:
    paths = [each[0] for each in told(dims=[1, "2", 3.5], options={"a": 1, "b": "x"}, flag="no", size="3")]

    assert paths == [("dims", 1), ("dims", 2), ("options", "b"), ("flag",), ("size",)]


def test_what_may_be_meant_is_left_alone() -> None:
    spec = {"_type_": "anything"}

    assert told(width=1e4, rate=1, dims=(1, 2), betas=[1, 0], limit=None, inner=spec, plain="auto", size="same") == []
    assert told(**dict.fromkeys(("flag", "width", "rate", "name", "dims", "betas", "mode", "options"), spec)) == []
    assert told(rate="${secret:RATE}", name=".nan") == []


def test_an_annotation_that_cannot_be_judged_judges_nothing() -> None:
    def function(
        a: Any,
        b: T,
        c: Sized,
        d: torch.Tensor,
        e: Text,
        f: "not a type",  # type: ignore[valid-type]  # noqa: F722
        g: Path2,
        h: Mode,
        i: torch.dtype | str | float,
        j: type[nn.Module],
        k: int = "8",  # type: ignore[assignment]
        *rest: Any,
        **others: Any,
    ) -> None: ...

    for value in ("no", 3, [1.0], None, {"a": 1}):
        found = check_call(function, (), dict.fromkeys("abcdefgijkz", value), "strict", ())
        assert [each for each in found if each.title == "wrong type"] == [], value


def test_positional_arguments_and_those_without_a_name_are_held_against_theirs() -> None:
    def function(width: int, *sizes: int, **flags: bool) -> None: ...

    found = check_call(function, ("a", 1, "b"), {"quick": "yes"}, "strict", ("at",))
    assert [each.config_path for each in found] == [("at", "_args_", 0), ("at", "_args_", 2), ("at", "quick")]
    assert check_call(function, (3,), {}, "strict", (), skip=1) == []  # the first is the caller's


def test_a_path_may_be_text_and_what_is_called_none() -> None:
    def function(file: Path, loss: Callable[..., Any], several: Iterable[Path] = ()) -> None: ...

    found = check_call(partial(function), (), {"file": "a.npz", "loss": "mse", "several": "b.npz"}, "strict", ())
    assert [(each.config_path, each.hint) for each in found] == [
        (("loss",), "Write `loss: {_type_: ...}`, for example."),
        (("several",), "Write `several: [b.npz]`."),
    ]


@pytest.mark.parametrize(
    ("key", "fine"),
    [
        ("nn.Conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": [3, 5], "padding": "same", "bias": False}),
        ("nn.MaxPool2d", {"kernel_size": 2, "stride": None}),
        ("nn.LSTM", {"input_size": 2, "hidden_size": 3, "dropout": 0, "batch_first": True}),
        ("nn.LayerNorm", {"normalized_shape": [3, 4], "eps": 1e-5}),
        ("nn.Upsample", {"scale_factor": 2, "mode": "nearest"}),
        ("nn.CrossEntropyLoss", {"weight": [1.0, 2.0], "label_smoothing": 0}),
        ("nn.TransformerEncoderLayer", {"d_model": 4, "nhead": 2, "activation": "gelu"}),
        ("optim_cls.AdamW", {"lr": 1e-3, "betas": [0.9, 0.99], "fused": None}),
        ("sched_cls.OneCycleLR", {"max_lr": [0.1, 0.2], "total_steps": 1e4, "anneal_strategy": "cos"}),
        ("sched_cls.MultiStepLR", {"milestones": [2, 4]}),
    ],
)
def test_what_torch_takes_is_no_finding(key: str, fine: dict[str, Any]) -> None:
    found = check_call(build_registry().get_module(key).target, (), fine, "best_effort", ())

    assert [each.message for each in found if each.title == "wrong type"] == []
