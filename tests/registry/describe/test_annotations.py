"""What an annotation admits is said as JSON Schema, never narrower than Python means it."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from otrainer.registry.describe.annotations import values_of
from otrainer.registry.describe.parameters import resolved

Width = NewType("Width", int)


class Options(TypedDict):
    depth: int


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (int, {"type": ["integer"]}),
        (float, {"type": ["number"]}),
        (int | float, {"type": ["number"]}),
        (Optional[str], {"type": ["string", "null"]}),  # noqa: UP045 - as older code writes it
        (Union[bool, None], {"type": ["boolean", "null"]}),  # noqa: UP007 - the same
        (Literal["a", "b", None], {"type": ["string", "null"], "enum": ["a", "b", None]}),
        (Literal["a"] | int, {"type": ["integer", "string"]}),
        (list[int], {"type": ["array"], "items": {"type": ["integer"]}}),
        (Sequence[int | None], {"type": ["array"], "items": {"type": ["integer", "null"]}}),
        (tuple[int, ...], {"type": ["array"], "items": {"type": ["integer"]}}),
        (tuple[int, int], {"type": ["array"], "items": {"type": ["integer"]}, "minItems": 2, "maxItems": 2}),
        (
            tuple[int, str],
            {
                "type": ["array"],
                "prefixItems": [{"type": ["integer"]}, {"type": ["string"]}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            int | tuple[int, int],
            {"type": ["integer", "array"], "items": {"type": ["integer"]}, "minItems": 2, "maxItems": 2},
        ),
        (list[float] | tuple[int, int], {"type": ["array"]}),
        (Mapping[str, float], {"type": ["object"], "additionalProperties": {"type": ["number"]}}),
        (dict[str, Any], {"type": ["object"]}),
        (Options, {"type": ["object"]}),
        (Annotated[Width, "of a layer"], {"type": ["integer"]}),
        (Path | None, {"type": ["string", "null"]}),
        (float | torch.Tensor, {"type": ["number", "object"]}),
        (torch.Tensor | None, {}),
        (torch.nn.Linear, {"type": ["object"]}),
        (Callable[[int], int], {"type": ["object"]}),
        (Any, {}),
        (int | Any, {}),
        (torch.dtype, {}),
        (typing.TypeVar("T"), {}),
        (Iterable, {"type": ["array"]}),
    ],
)
def test_an_annotation_becomes_the_types_that_it_admits(annotation: Any, values: dict[str, Any]) -> None:
    assert values_of(annotation) == values


def test_an_annotation_that_is_text_is_read_in_its_module_or_else_says_nothing() -> None:
    def function(width: Width, path: NotThere, fn: Callable) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    assert resolved("Width | None", function) == Width | None
    assert resolved("NotThere", function) is Any
    assert resolved("not a type", function) is Any
    assert values_of(resolved("torch.nn.Module", function)) == {"type": ["object"]}
    assert values_of(resolved("torch.Tensor", function)) == {}


def test_an_annotation_may_be_anything_even_something_that_contains_itself() -> None:
    class TypeAliasType:
        """As Python 3.12 has it."""

        __value__: Any

    tree = TypeAliasType()
    tree.__value__ = list[tree] | int  # type: ignore[valid-type]

    assert values_of(tree)["type"] == ["integer", "array"]
    assert values_of(list["Tree"]) == {"type": ["array"]}  # type: ignore[name-defined]  # noqa: F821
    assert values_of(torch.tensor([1, 2])) == values_of(3) == values_of(...) == {}


WORDS = st.sampled_from(["", "a", "b"])
PLAIN = st.sampled_from(
    [
        (int, st.integers()),
        (float, st.floats(allow_nan=False) | st.integers()),
        (bool, st.booleans()),
        (str, WORDS),
        (None, st.none()),
        (Literal["a", 2], st.sampled_from(["a", 2])),
        (Any, st.none() | st.integers() | st.lists(WORDS, max_size=2)),
    ]
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Annotations of containers and unions, each with a strategy for its values."""
    two = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda one: (list[one[0]], st.lists(one[1], max_size=3))),
        inner.map(lambda one: (dict[str, one[0]], st.dictionaries(WORDS, one[1], max_size=3))),
        two.map(lambda both: (Union[both[0][0], both[1][0]], both[0][1] | both[1][1])),  # noqa: UP007 - of None too
        two.map(lambda both: (tuple[both[0][0], both[1][0]], st.tuples(both[0][1], both[1][1]).map(list))),
    )


@given(data=st.data(), pair=st.recursive(PLAIN, containers, max_leaves=5))
def test_whatever_an_annotation_means_is_admitted(data: st.DataObject, pair: Any) -> None:
    annotation, strategy = pair
    schema = values_of(annotation)

    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(data.draw(strategy))
