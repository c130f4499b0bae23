"""What a run keeps of its code and of where its values were written is read only where it has the form of that."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from otrainer.stages.freshness.values import run_detail, run_places
from otrainer.storage.runs.files import FINGERPRINTS, SOURCES

DETAIL = {"rules": "x", "roots": {"loss.x": ["m:X"]}, "symbols": {"m:X": "0"}, "uses": {"m:X": ["m:Y"]}, "files": []}
PLACES = {"places": {"run.seed": ["a.yaml", 3, 1, None, None], "run.name": ["a.yaml", 4, 9, 4, 3]}}


def written(folder: Path, name: str, data: Any) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(data))
    return folder


def test_what_a_run_keeps_reads_back(tmp_path: Path) -> None:
    places = run_places(written(tmp_path, SOURCES, PLACES))

    assert run_detail(written(tmp_path, FINGERPRINTS, DETAIL)) == DETAIL
    assert places is not None
    assert str(places.locate(("run", "seed"))) == "a.yaml:3:1"


@pytest.mark.parametrize("odd", [None, 7, math.inf, "x", [], [None], {"m:X": 7}, {"m:X": [None]}], ids=str)
@pytest.mark.parametrize("key", ["roots", "symbols", "uses"])
def test_code_of_other_kinds_is_none(tmp_path: Path, key: str, odd: Any) -> None:
    assert run_detail(written(tmp_path, FINGERPRINTS, {**DETAIL, key: odd})) is None


@pytest.mark.parametrize(
    "odd",
    [
        None, [], {"x": None}, {"x": ["a", 1]}, {"x": [1, 1, 1, 1, 1]}, {"x": ["a", "1", 1, 1, 1]},
        {"x": ["a", 1, math.inf, None, None]},
    ],
    ids=str,
)  # fmt: skip
def test_places_of_other_kinds_are_none(tmp_path: Path, odd: Any) -> None:
    assert run_places(written(tmp_path, SOURCES, {"places": odd})) is None
