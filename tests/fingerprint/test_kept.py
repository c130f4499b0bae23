"""What is kept of otrainer's own sources serves every project, and lies beside what Python keeps of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import otrainer

PACKAGE = Path(otrainer.__file__).parent
# Digests of a few of otrainer's symbols, and how many sources were parsed for them.
INSIDE = """
import sys
from pathlib import Path

from otrainer.fingerprint import Fingerprints, summary

parsed = []
made = summary.summary_of
summary.summary_of = lambda content, module, **how: parsed.append(module) or made(content, module, **how)
prints = Fingerprints(root=Path.cwd(), cache=Path("build/.code"))
print(prints.symbol("otrainer.storage.records:Record").digest)
print(len(parsed))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the package that nobody has imported yet."""
    shutil.copytree(PACKAGE, tmp_path / "site/otrainer", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site/otrainer"


def looked(installed: Path, project: str, **environ: str) -> tuple[str, int]:
    folder = installed.parents[1] / project
    folder.mkdir(exist_ok=True)
    ended = subprocess.run(
        [sys.executable, "-c", INSIDE],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed.parent), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    digest, parsed = ended.stdout.split()
    return digest, int(parsed)


def kept_beside(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.summary.json"))


def kept_in(installed: Path, project: str) -> int:
    return len(list((installed.parents[1] / project).glob("build/.code/*.json")))


def test_a_second_project_parses_none_of_them(installed: Path) -> None:
    first, second = looked(installed, "first"), looked(installed, "second")

    assert first[0] == second[0]
    assert first[1] == len(kept_beside(installed)) > 2
    assert second[1] == 0
    assert (kept_in(installed, "first"), kept_in(installed, "second")) == (0, 0)


def test_an_edit_of_one_costs_that_one_and_leaves_no_second_file(installed: Path) -> None:
    before, count = looked(installed, "here")
    source = installed / "storage/records.py"
    source.write_text(f"{source.read_text()}\nBESIDE = 1\n")

    assert looked(installed, "here") == (before, 1)
    assert looked(installed, "there") == (before, 0)
    assert len(kept_beside(installed)) == count


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, None, b"cut"])
def test_a_damaged_one_is_made_anew(installed: Path, damage: bytes | None) -> None:
    before, _ = looked(installed, "here")
    kept = installed / "storage/__pycache__" / f"records.{sys.implementation.cache_tag}.summary.json"
    whole = kept.read_bytes()
    flipped = bytes([whole[-30] ^ 1])
    damaged = whole[:-30] + flipped + whole[-29:] if damage is None else whole[:100] if damage == b"cut" else damage
    kept.write_bytes(damaged)

    assert looked(installed, "there") == (before, 1)
    assert kept.read_bytes() == whole


def test_one_of_another_source_is_not_taken_for_its(installed: Path) -> None:
    before, _ = looked(installed, "here")
    mine, *_, other = kept_beside(installed)
    mine.write_bytes(other.read_bytes())

    assert looked(installed, "there") == (before, 1)


def test_a_place_of_ones_own_for_what_is_compiled_holds_them_too(installed: Path, tmp_path: Path) -> None:
    count = looked(installed, "here", PYTHONPYCACHEPREFIX=str(tmp_path / "compiled"))[1]

    assert len(kept_beside(tmp_path / "compiled")) == count
    assert kept_beside(installed) == []
    assert looked(installed, "there", PYTHONPYCACHEPREFIX=str(tmp_path / "compiled"))[1] == 0


def test_who_wants_nothing_beside_the_sources_gets_nothing_there(installed: Path) -> None:
    first = looked(installed, "here", PYTHONDONTWRITEBYTECODE="1")

    assert kept_beside(installed) == []
    assert kept_in(installed, "here") == first[1] > 2
    assert looked(installed, "here", PYTHONDONTWRITEBYTECODE="1") == (first[0], 0)


def test_a_package_that_cannot_be_written_beside_leaves_them_to_the_project(installed: Path) -> None:
    for folder in (installed, *(path for path in installed.rglob("*") if path.is_dir())):
        (folder / "__pycache__").write_text("a file, so that nobody can have a folder here, root neither\n")
    first = looked(installed, "here")

    assert kept_in(installed, "here") == first[1] > 2
    assert looked(installed, "here") == (first[0], 0)
