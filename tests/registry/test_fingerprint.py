"""A fingerprint follows the local sources behind a component, by what they mean and not by how they look."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from otrainer.registry.fingerprint import Fingerprints, local_modules

FILES = {
    "plug/__init__.py": "",
    "plug/part.py": "from . import helper\nfrom plug.deep.tools import scale\nimport json, torch\nclass Part: ...\n",
    "plug/helper.py": "SCALE = 2\n",
    "plug/deep/tools.py": "def scale(x):\n    from plug import late\n    return x\n",
    "plug/late.py": "LATE = 1\n",
    "plug/other.py": "OTHER = 1\n",
}


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "plug"


def now() -> str:
    return Fingerprints().of("plug.part:Part")


def test_local_modules_are_followed_without_importing_them_and_installed_ones_are_not(plug: Path) -> None:
    assert sorted(local_modules(["plug.part"])) == [
        "plug",
        "plug.deep.tools",
        "plug.helper",
        "plug.late",
        "plug.part",
    ]
    assert "plug" not in sys.modules


@pytest.mark.parametrize("name", ["part", "helper", "deep/tools", "late", "__init__"])
def test_a_change_in_any_module_on_the_way_counts(plug: Path, name: str) -> None:
    before = now()
    path = plug / f"{name}.py"
    path.write_text(path.read_text() + "CHANGED = 1\n")

    assert now() != before


def test_comments_layout_and_modules_beside_the_way_do_not_count(plug: Path) -> None:
    before = now()
    (plug / "helper.py").write_text("# two\nSCALE   =  (2)\n\n\n")
    (plug / "other.py").write_text("OTHER = 2\n")

    assert now() == before


def test_a_changed_constant_counts_and_changing_it_back_does_too(plug: Path) -> None:
    before = now()
    (plug / "helper.py").write_text("SCALE = 3\n")
    changed = now()
    (plug / "helper.py").write_text("SCALE = 2\n")

    assert (changed != before, now()) == (True, before)


def test_every_process_sees_the_same(plug: Path) -> None:
    code = "from otrainer.registry.fingerprint import Fingerprints; print(Fingerprints().of('plug.part:Part'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(plug.parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }

    assert seen == {now()}


def test_components_of_one_module_differ_by_their_name(plug: Path) -> None:
    prints = Fingerprints()

    assert prints.of("plug.part:Part") != prints.of("plug.part:Other")
