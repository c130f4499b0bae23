"""A value is told in a few words, whatever it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from otrainer.stages.failures.describe import describe, extremes


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(8, 4), "float32 [8, 4]"),
        (torch.tensor(1), "int64 []"),
        (torch.zeros(2, device="meta", dtype=torch.bfloat16), "bfloat16 [2] on meta"),
        ({"x": torch.zeros(1), "n": 3}, "{x: float32 [1], n: 3}"),
        ([torch.zeros(1), None, "a"], "[float32 [1], None, 'a']"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, 3 more]"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{a: {b: {c: a dict}}}"),
        ("x" * 99, "a str"),
        (object(), "an object"),
        (SimpleNamespace(dtype="uint8", shape=(3, 2)), "SimpleNamespace uint8 [3, 2]"),
    ],
)
def test_dtype_and_shape_are_what_counts(value: Any, words: str) -> None:
    assert describe(value) == words


def test_the_extremes_of_whole_numbers_are_told_where_they_can_be_had() -> None:
    assert extremes(torch.tensor([[3, -1], [7, 2]])) == (-1, 7)
    assert [extremes(value) for value in (torch.zeros(2), torch.zeros(0).long(), 3)] == [None] * 3
    assert extremes(torch.zeros(2, device="meta").long()) is None
