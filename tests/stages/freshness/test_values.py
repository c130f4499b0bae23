"""Values of two configs differ where they are written in another way: NaN does not differ from NaN."""

from __future__ import annotations

import math
from typing import Any

import pytest

from otrainer.stages.freshness.values import changes, is_same


@pytest.mark.parametrize("holds", [lambda x: x, lambda x: [x, 1.0], lambda x: [[x]], lambda x: [{"n": x}]])
def test_nan_is_no_change_wherever_it_stands(holds: Any) -> None:
    old, new = ({"params": {"missing": holds(float("nan"))}} for _ in range(2))

    assert list(changes(old, new)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [(math.nan, 1.0), (math.nan, None), (math.nan, "nan"), (1, 1.0), (True, 1), ([1], [True]), (0.0, -0.0), ([], {})],
)
def test_what_is_written_otherwise_is_a_change(old: Any, new: Any) -> None:
    assert not is_same(old, new)
    assert [change[2:] for change in changes({"a": old}, {"a": new})] == [(old, new)]
