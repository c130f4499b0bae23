"""A text where a number or a truth belongs is told by what stands in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from otrainer.config import resolve_config
from otrainer.errors import Finding
from otrainer.stages.as_written import with_names_as_written

HINT = "Write it without quotes, or, from the environment, with a cast: `${env:int:NAME,3}`."


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("${env:SEED,3}", "Give it a cast: `${env:int:SEED,3}`."),
        ('"${env:SEED,3}"', "Give it a cast: `${env:int:SEED,3}`."),
        ("'${ env:SEED, 3 }'", "Give it a cast: `${env:int:SEED, 3}`."),
        ('"3"', "Write it without quotes."),
        ("'3'", "Write it without quotes."),
        ("${params.three}", HINT),
    ],
)
def test_the_next_step_fits_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEED", raising=False)
    text = f"schema_version: 1\nparams: {{three: '3'}}\nmodel: {{}}\nrun:\n  seed: {written}\n"
    (tmp_path / "a.yaml").write_text(text)
    config = resolve_config(tmp_path / "a.yaml", root=tmp_path)
    finding = Finding("`run.seed` is a whole number.", "wrong value", ("run", "seed"), hint=HINT)
    assert [each.hint for each in with_names_as_written([finding], config)] == [hint]
