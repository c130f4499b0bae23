"""What is said of code that counts as it is written, word for word, as where a plugin reads its own sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints
from otrainer.stages.definition import detail
from otrainer.stages.freshness.code import code_sentences

PLUGIN = (
    "import inspect\n\nfrom plug import beside\n\n\ndef loss():\n    return inspect.getsource(beside), beside.WIDTH\n"
)


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plug").mkdir()
    for name, text in (("__init__", ""), ("main", PLUGIN), ("beside", "WIDTH = 1\n"), ("other", "WIDTH = 1\n")):
        (tmp_path / "plug" / f"{name}.py").write_text(text)
    return tmp_path


def told_after(plug: Path, name: str, text: str) -> list[str]:
    """What is said of a run once the source of a module is another one."""
    before = Fingerprints(root=plug)
    row = {"key": "loss.a", "target": "plug.main:loss", "plugin": None}
    old = {**row, "fingerprint": before.registered(None, "loss.a", "plug.main:loss").digest}
    kept = detail([old], before)
    (plug / "plug" / f"{name}.py").write_text(text)
    now = Fingerprints(root=plug)
    new = {**row, "fingerprint": now.registered(None, "loss.a", "plug.main:loss").digest}
    return list(code_sentences([old], [new], kept, now))


def test_a_text_that_is_another_is_told_alone(plug: Path) -> None:
    """And not each one that counts by its text, as if it were used only now."""
    assert told_after(plug, "beside", "WIDTH = 1  # a note\n") == [
        "The text of `plug/beside.py` changed (`loss.a` -> the text of plug.beside)."
    ]


def test_one_that_nobody_reads_or_imports_is_not_told(plug: Path) -> None:
    assert told_after(plug, "other", "WIDTH = 2\n") == []


def test_a_text_that_counts_from_now_on_is_told_as_such(plug: Path) -> None:
    plain = PLUGIN.replace("inspect.getsource(beside), ", "")
    (plug / "plug/main.py").write_text(plain)
    told = told_after(plug, "main", PLUGIN)

    assert "`plug/main.py: loss` changed (`loss.a` -> loss)." in told
    assert "The text of `plug/beside.py` is used now (`loss.a` -> the text of plug.beside)." in told
