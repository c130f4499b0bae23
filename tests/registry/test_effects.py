"""What a component promises of its arguments is held against what it takes, when it is registered."""

from __future__ import annotations

from typing import Any

import pytest

from otrainer.errors import ConfigError
from otrainer.registry import build_registry


def part(train: Any, workers: int = 0, *, quiet: bool = False) -> None:
    """A component."""


def anything(**given: Any) -> None:
    """A component that takes any name."""


@pytest.mark.parametrize(
    "given", [(), ["workers"], ("workers", "quiet"), {"workers": ["train"], "quiet": ()}, ["*"], {"quiet"}]
)
def test_arguments_are_promised_as_names_or_with_conditions(given: Any) -> None:
    registry = build_registry()
    registry.register_module("my.part", part, without_effect=given)

    assert dict(registry.get_module("my.part").without_effect).keys() == set(given)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (["worker"], "`my.part` has no argument 'worker'"),
        ({"workers": ["trian"]}, "`my.part` has no argument 'trian'"),
        ("workers", "is a list of arguments, not 'workers'"),
        (7, "is a list of arguments, not 7"),
        ([None], "`my.part` has no argument None"),
    ],
)
def test_a_promise_about_no_argument_is_refused_where_it_is_made(given: Any, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        build_registry().register_module("my.part", part, without_effect=given)
    (finding,) = caught.value.findings
    assert finding.title == "invalid registration"
    assert finding.location is not None


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        build_registry().register_module("my.part", part, without_effect=["worker", "quite"])

    assert [finding.suggestions for finding in caught.value.findings] == [("workers",), ("quiet",)]


def test_of_what_takes_any_name_any_may_be_promised() -> None:
    build_registry().register_module("my.part", anything, without_effect=["whatever"])
