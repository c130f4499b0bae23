"""The same source has the same fingerprint under every Python; `tests/campaigns/pythons.py` asks those not at hand."""

from __future__ import annotations

import builtins
import importlib
import json
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints
from otrainer.fingerprint.kept import sealed
from otrainer.fingerprint.known_names import BUILTIN_NAMES
from otrainer.fingerprint.locate import Locator
from otrainer.fingerprint.normal_form import digest_of
from otrainer.fingerprint.summary import summary_of
from otrainer.storage import process_memory

from .golden import CORPUS, NEWER, corpus_digests, read_golden
from .package import Package


def test_odd_syntax_has_the_fingerprints_on_record() -> None:
    """After a change of the rules on purpose: `python tests/fingerprint/golden.py`."""
    assert corpus_digests() == read_golden()


def test_the_corpus_is_parsed_and_not_counted_by_its_bytes() -> None:
    for path in CORPUS.glob("odd/*.py"):
        assert summary_of(path.read_bytes(), path.stem, is_package=False).is_read, path


@pytest.mark.parametrize("name", NEWER)
def test_syntax_of_a_newer_python_counts_symbol_by_symbol_there_and_by_its_bytes_before(
    package: Package, name: str
) -> None:
    text = (CORPUS / f"newer/{name}.py").read_text()
    package.write({f"newer_{name}": text})
    before = package.code(f"newer_{name}:LIMIT").digest
    package.edit(f"newer_{name}", "BESIDE = 4", "BESIDE = 5")

    assert (package.code(f"newer_{name}:LIMIT").digest == before) == (sys.version_info >= NEWER[name])


def test_what_one_python_cannot_parse_is_left_for_another_to_remember(package: Package, tmp_path: Path) -> None:
    package.write({"unread": "type type X = 1\n", "read": "X = 1\n"})
    for module in ("unread", "read"):
        assert Fingerprints(root=package.folder, cache=tmp_path / module).symbol(f"{module}:X").symbols

    assert not (tmp_path / "unread").exists()
    assert len(list((tmp_path / "read").iterdir())) == 1


def test_what_a_newer_python_remembers_is_not_taken_from_it(package: Package, tmp_path: Path) -> None:
    """It may be of a source that this one cannot parse; what an older one remembers is the same here."""
    package.write({"kept": "X = 1\n"})
    before = Fingerprints(root=package.folder, cache=tmp_path / "cache").symbol("kept:X").digest
    (kept,) = (tmp_path / "cache").iterdir()
    version, mark, summary = json.loads(kept.read_bytes().partition(b"\n")[2])
    summary[1][0][2] = "another digest"
    found = {}
    for name, by in (("older", [3, 11]), ("newer", [3, 99])):
        text = json.dumps([by, mark, summary]).encode()
        kept.write_bytes(sealed(text) + b"\n" + text)
        process_memory.get("summaries", dict).clear()  # as another process
        found[name] = Fingerprints(root=package.folder, cache=tmp_path / "cache").symbol("kept:X").digest

    assert version == list(sys.version_info[:2])
    assert found["older"] != before
    assert found["newer"] == before


@pytest.mark.parametrize("levels", [100, 290, 400, 5000])
@pytest.mark.parametrize("part", ["elif x == 1: pass\n", "a + ", "a."])
def test_deep_nesting_counts_alike_however_deep_the_caller_is(part: str, levels: int) -> None:
    start = "if x: pass\n" if "elif" in part else "y = "
    source = f"{start}{part * levels}{'else: pass' if 'elif' in part else 'a'}\n".encode()

    def at(depth: int) -> object:
        return at(depth - 1) if depth else summary_of(source, "deep", is_package=False).statements

    shallow = at(0)

    assert at(300) == shallow
    assert (shallow[0].digest == digest_of(source.decode())) == (levels > 300)


def test_warnings_that_become_errors_do_not_change_how_a_source_counts() -> None:
    source = rb"X = '\d'" + b"\nY = 1if X else 2\n"
    expected = summary_of(source, "warned", is_package=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert summary_of(source, "warned", is_package=False) == expected

    assert len(expected.statements) == 2


def test_every_builtin_of_this_python_is_known_by_its_name() -> None:
    public = {name for name in vars(builtins) if not name.startswith("_")}

    assert public - BUILTIN_NAMES <= {"copyright", "credits", "exit", "help", "license", "quit"}


def test_what_a_program_adds_to_builtins_changes_no_fingerprint(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.write({"added": "class A(Odd):\n    pass\n"})
    before = package.code("added:A").digest
    monkeypatch.setattr(builtins, "Odd", object, raising=False)
    (package.folder / "added.py").touch()

    assert package.code("added:A").digest == before


def test_a_module_in_an_archive_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some Pythons carry their own modules so: they hide none of the packages known to be harmless."""
    with zipfile.ZipFile(tmp_path / "carried.zip", "w") as archive:
        archive.writestr("carried_along.py", "VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "carried.zip")

    assert importlib.import_module("carried_along").VALUE == 1
    assert Locator().source("carried_along") is None
