"""What editors are told of the keys: arguments, types, defaults and docs, of whatever is registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from otrainer.registry import build_registry
from otrainer.registry.build.signature import MISSING, WRONG, check_call
from otrainer.registry.describe.docstrings import arguments, mentions, summary
from otrainer.registry.describe.interface import interface_of

GOOGLE = """Blend two things.

    A rather long
    explanation with :math:`x^2` and ``code``:

    .. math::
        x = y

    Args:
        ratio (float, optional): how much of the second
            one. Default: 0.5
        **others: passed on

    Shape:
        - Input: any
    """


def rows_of(key: str, factory: Callable[..., Any], **how: Any) -> dict[str, Any]:
    registry = build_registry()
    registry.registering = "extensions.mine"
    registry.register_module(key, factory, **how)
    row: dict[str, Any] = interface_of(registry, built_in=False)["modules"][key]
    return row


def test_an_argument_has_its_types_its_default_and_what_the_docstring_says() -> None:
    def blend(first: int, ratio: float = 0.5, *, names: list[str] | None = None, odd: Any = build_registry) -> None:
        pass

    blend.__doc__ = GOOGLE
    row = rows_of("blend", blend)

    assert row["doc"] == "Blend two things."
    assert not row["open"]
    assert row["arguments"]["first"] == {"values": {"type": ["integer"]}, "required": True, "doc": ""}
    assert row["arguments"]["ratio"] == {
        "values": {"type": ["number"]},
        "required": False,
        "default": 0.5,
        "doc": "how much of the second one. Default: 0.5",
    }
    assert row["arguments"]["names"]["default"] is None
    assert "default" not in row["arguments"]["odd"]


def test_a_dataclass_that_says_nothing_has_no_doc() -> None:
    @dataclass
    class Plain:
        width: int = 3

    row = rows_of("plain", Plain)

    assert row["doc"] == ""
    assert row["arguments"] == {"width": {"values": {"type": ["integer"]}, "required": False, "default": 3, "doc": ""}}


def test_an_inherited_argument_has_what_the_class_that_declares_it_says() -> None:
    @dataclass
    class Base:
        """Hold some. `size` is how much."""

        size: int = 1
        depth: int = 1

    @dataclass
    class Derived(Base):
        """Hold more. `depth` is how deep."""

    rows = rows_of("mine.derived", Derived)["arguments"]

    assert rows["size"]["doc"] == "`size` is how much."
    assert rows["depth"]["doc"] == "`depth` is how deep."


def test_what_is_said_when_registering_goes_before_the_docstring() -> None:
    def make() -> None:
        """Make."""

    assert rows_of("make", make, doc="Make it well.")["doc"] == "Make it well."


@pytest.mark.parametrize(
    ("factory", "policy", "is_open"),
    [
        (lambda width: width, "strict", False),
        (lambda **kwargs: kwargs, "strict", True),
        (lambda width: width, "runtime_only", True),
        (lambda width: width, "best_effort", False),
        (type, "best_effort", True),
    ],
)
def test_a_key_is_open_where_no_name_is_checked(factory: Callable[..., Any], policy: str, is_open: bool) -> None:
    assert rows_of("it", factory, signature_policy=policy)["open"] is is_open


def test_the_arguments_of_built_in_keys_are_those_that_validation_takes() -> None:
    registry = build_registry()
    for key, row in interface_of(registry, built_in=True)["modules"].items():
        entry = registry.get_module(key)
        names = dict.fromkeys([*row["arguments"], "no_such_argument"])
        found = check_call(entry.target, (), names, entry.signature_policy, ())
        for argument in row["arguments"].values():
            assert "default" not in argument or Draft202012Validator(argument["values"]).is_valid(argument["default"])
        unknown = [finding.config_path[-1] for finding in found if finding.title not in (MISSING, WRONG)]
        assert unknown == ([] if row["open"] else ["no_such_argument"]), key


def test_plugins_keys_and_built_in_ones_are_told_apart_and_are_plain_data() -> None:
    registry = build_registry()
    registry.registering = "extensions.mine"
    registry.register_op("twice", lambda value: value * 2, doc="Twice the value.")
    own, built_in = interface_of(registry, built_in=False), interface_of(registry, built_in=True)

    assert own == {"modules": {}, "ops": {"twice": {"doc": "Twice the value."}}}
    assert list(built_in["modules"]) == registry.list_modules()
    assert "twice" not in built_in["ops"]
    assert json.loads(json.dumps(built_in, allow_nan=False)) == json.loads(json.dumps(built_in))


def test_a_docstring_is_read_up_to_its_first_section() -> None:
    assert (
        summary("Blend.\n\nUse it\nwell.\n\n- one\n- two\n\nArgs:\n    x: y")
        == "Blend.\n\nUse it well.\n\n- one\n- two"
    )
    assert summary("Blend :class:`~torch.Tensor` and :ref:`others <label>`.") == "Blend `torch.Tensor` and `others`."
    assert arguments("Args:\n    a (int): first\n        one\n    b: second\n\nReturns:\n    c: not an argument") == {
        "a": "first one",
        "b": "second",
    }
    assert mentions("It blends. `ratio` is how much; the rest is not. See `other`.", "ratio") == "`ratio` is how much;"
