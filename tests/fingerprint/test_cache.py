"""Summaries are kept on disk: unchanged modules are not parsed again, and no state of the cache changes a digest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints, sources
from otrainer.storage import process_memory

from .package import Package

MODULES = {
    "plug/__init__": "from . import tools\n",
    "plug/parts": '"""Parts."""\nfrom . import tools\nfrom .tools import *\n\n\nclass Part:\n    """One."""\n\n'
    "    def run(self, x: int = tools.WIDTH):\n        return helper(x, {'a', 'b'})\n\n\n"
    "def register(registry):\n    registry.register_module('loss.part', Part)\n",
    "plug/tools": "import os\nWIDTH = 1\nprint(end='')\n\n\ndef helper(x, names):\n    return globals()[x]\n",
    "plug/unused": "VALUE = 1\n",
}
# Prints what a process finds, and how many sources it parsed: `ast.parse` compiles them under this name.
INSIDE = """
import json, sys
parsed = []
sys.addaudithook(lambda event, given: parsed.append(1) if event == "compile" and given[1] == "<unknown>" else None)
from pathlib import Path
from otrainer.fingerprint import Fingerprints
folder, cache = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(folder))
for turn in range(int(sys.argv[3])):
    prints = Fingerprints(root=folder, cache=Path(cache) if cache else None)
    modules = sorted(prints.modules(["plug.parts"]))
    code = prints.registered("plug.parts", "loss.part", "plug.parts:Part")
    found = [prints.plugin("plug.parts").digest, code.digest, dict(code.symbols), dict(code.uses), code.notes, modules]
print(json.dumps([found, len(parsed)]))
"""


@pytest.fixture
def plug(package: Package) -> Package:
    package.write(MODULES)
    return package


def started(
    folder: Path, cache: Path | None, *, turns: int = 1, cwd: Path | None = None, **environ: str
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", INSIDE, str(folder), str(cache or ""), str(turns)]
    return subprocess.Popen(
        command, env={**os.environ, **environ}, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def looked(folder: Path, cache: Path | None, **how) -> tuple[object, int]:
    """What a fresh process finds, and how many sources it parses."""
    process = started(folder, cache, **how)
    out, err = process.communicate()
    assert process.returncode == 0, err
    found, parsed = json.loads(out)
    return found, parsed


def test_an_unchanged_module_is_not_parsed_again(plug: Package, tmp_path: Path) -> None:
    """Nor one that was only touched, and an edited one is parsed alone."""
    cache = tmp_path / "cache"
    cold, first = looked(plug.folder, cache)
    warm, second = looked(plug.folder, cache, turns=2)
    for name in MODULES:
        os.utime(plug.folder / f"{name}.py", ns=(10**18, 10**18))
    touched, third = looked(plug.folder, cache)
    plug.edit("plug/tools", "WIDTH = 1", "WIDTH = 2")
    edited, fourth = looked(plug.folder, cache)
    plug.edit("plug/tools", "WIDTH = 2", "WIDTH = 1")
    back, fifth = looked(plug.folder, cache)

    assert (first, second, third, fourth, fifth) == (3, 0, 0, 1, 0)
    assert cold == warm == touched == back != edited


def test_one_process_parses_each_module_once_without_a_cache(plug: Package) -> None:
    assert looked(plug.folder, None, turns=3)[1] == 3


def test_the_same_with_and_without_a_cache_under_any_hash_seed_and_wherever_it_starts(
    plug: Package, tmp_path: Path
) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = [
        looked(plug.folder, None, PYTHONHASHSEED="0"),
        looked(plug.folder, cache, PYTHONHASHSEED="1"),
        looked(plug.folder, cache, PYTHONHASHSEED="2", cwd=elsewhere),
        looked(plug.folder, None, PYTHONHASHSEED="3", cwd=plug.folder / "plug", PYTHONOPTIMIZE="2"),
    ]

    assert all(each == found[0][0] for each, _ in found)
    assert [parsed for _, parsed in found] == [3, 3, 0, 3]


def test_a_copy_of_the_project_elsewhere_has_the_same_fingerprints(plug: Package, tmp_path: Path) -> None:
    """What is kept of one is good for the other, since only names and texts count."""
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(plug.folder / "plug", copy / "plug")

    assert looked(plug.folder, tmp_path / "cache") == (looked(copy, None)[0], 3)
    assert looked(copy, tmp_path / "cache")[1] == 0


FOREIGN = {
    "empty": b"",
    "half": b'["abc", [[1, ["x"',
    "no text": b"\xff\xfe\x00",
    "another shape": b"{}",
    "a number": b"7",
    "nothing": b"null",
    "too short": b'["a", []]',
    "too long": b'["a", [], [], null, 1]',
    "statements that are none": b'["a", [7], [], null]',
    "a statement too long": json.dumps(["a", [list(range(40))], [], None]).encode(),
    "a registration that is none": b'["a", [], [], 7]',
    "rows that are none": b'["a", [], [], [7, []]]',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_damaged_or_foreign_file_is_ignored_and_written_anew(
    plug: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    cache = tmp_path / "cache"
    process_memory.forget("summaries")
    before = look(plug, cache)
    good = {path: path.read_bytes() for path in cache.iterdir()}
    for path in good:
        path.write_bytes(FOREIGN[what])
    process_memory.forget("summaries")

    assert look(plug, cache) == before
    assert {path: path.read_bytes() for path in cache.iterdir()} == good


@pytest.mark.parametrize(("old", "new"), [(b'"x"', b'"y"'), (b"true]]", b"null]]"), (b"[[3, ", b"[[2, ")])
def test_one_that_reads_well_but_for_a_changed_byte_is_ignored(
    plug: Package, tmp_path: Path, old: bytes, new: bytes
) -> None:
    cache = tmp_path / "cache"
    process_memory.forget("summaries")
    before = look(plug, cache)
    good = {path: path.read_bytes() for path in cache.iterdir()}
    for path, content in good.items():
        path.write_bytes(content.replace(old, new) if old in content else content[:-1])
    process_memory.forget("summaries")

    assert look(plug, cache) == before
    assert {path: path.read_bytes() for path in cache.iterdir()} == good


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(plug: Package, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process_memory.forget("summaries")
    before = look(plug, cache)
    for path in list(cache.iterdir()):
        path.unlink()
        os.mkfifo(path)
    process_memory.forget("summaries")

    assert look(plug, cache) == before


def look(plug: Package, cache: Path) -> str:
    return Fingerprints(root=plug.folder, cache=cache).symbol("plug.parts:Part").digest


def test_a_folder_in_the_place_of_a_file_costs_only_another_look(
    plug: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    process_memory.forget("summaries")
    before = look(plug, cache)
    for path in list(cache.iterdir()):
        path.unlink()
        path.mkdir()
    process_memory.forget("summaries")

    assert look(plug, cache) == before


def test_where_nothing_can_be_kept_fingerprints_are_still_found(
    plug: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_memory.forget("summaries")
    before = look(plug, tmp_path / "cache")
    (tmp_path / "file").write_text("")
    process_memory.forget("summaries")

    assert look(plug, tmp_path / "file" / "cache") == before


def test_other_rules_make_other_summaries(plug: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier version of the rules kept is not taken for what this one says."""
    cache = tmp_path / "cache"
    process_memory.forget("summaries")
    look(plug, cache)
    first = {path.name for path in cache.iterdir()}
    monkeypatch.setattr(sources, "rules", lambda: "others")
    process_memory.forget("summaries")
    look(plug, cache)

    assert len({path.name for path in cache.iterdir()}) == 2 * len(first)


def test_the_rules_are_all_modules_whose_code_decides() -> None:
    """Those that read a source are marked; those that only follow summaries need not be."""
    there = {path.name for path in sources.HERE.iterdir() if path.is_file()}

    rest = {"__init__.py", "graph.py", "identity.py", "kept.py", "looked_for.py", "names.py", "sources.py"}
    assert there - set(sources.RULES) == rest


def test_a_package_and_a_module_of_the_same_text_are_told_apart(plug: Package, tmp_path: Path) -> None:
    """Relative imports mean something else in each."""
    text = "from . import tools\n\n\ndef part():\n    return tools.WIDTH\n"
    plug.write({"plug/a": text, "plug/b/__init__": text, "plug/b/tools": "WIDTH = 1\n"})
    prints = Fingerprints(root=plug.folder, cache=tmp_path / "cache")

    assert "plug.tools:WIDTH" in prints.symbol("plug.a:part").symbols
    assert "plug.b.tools:WIDTH" in prints.symbol("plug.b:part").symbols


def test_processes_that_write_at_once_find_the_same(plug: Package, tmp_path: Path) -> None:
    """Each file is whole or not there; nothing half-written stays behind."""
    cache = tmp_path / "cache"
    processes = [started(plug.folder, cache) for _ in range(3)]
    found = [json.loads(process.communicate()[0])[0] for process in processes]

    assert found[0] == found[1] == found[2] == looked(plug.folder, cache)[0]
    assert all(json.loads(path.read_bytes().partition(b"\n")[2]) for path in cache.iterdir())
    assert len(list(cache.iterdir())) == 3


PARTS_THAT_LOOK_AROUND = """\
import importlib
import pkgutil
import walked
from plug import tools
try:
    from plug import extra
except ImportError:
    extra = None


def Part():
    for each in pkgutil.iter_modules(walked.__path__):
        importlib.import_module(f"walked.{each.name}")
    return tools.WIDTH, extra
"""


def test_one_look_sees_the_sources_as_they_were_when_it_first_asked(plug: Package) -> None:
    prints = Fingerprints(root=plug.folder)
    before = prints.symbol("plug.parts:Part").digest
    plug.edit("plug/tools", "WIDTH = 1", "WIDTH = 2")

    assert prints.symbol("plug.parts:Part").digest == before
    assert Fingerprints(root=plug.folder).symbol("plug.parts:Part").digest != before


LATER = {
    "a source is edited": {"plug/tools": "WIDTH = 2\n"},
    "a package takes the place of a module": {"plug/tools/__init__": "WIDTH = 1\n"},
    "a module appears that was looked for in vain": {"plug/extra": ""},
    "a module appears in a folder that is walked": {"walked/b": ""},
    "a folder becomes a package": {"walked/__init__": ""},
}


@pytest.mark.parametrize("what", LATER)
def test_a_look_is_current_until(plug: Package, what: str) -> None:
    """Also what was not there is something that was seen."""
    plug.write({"walked/a": "", "plug/parts": PARTS_THAT_LOOK_AROUND})
    prints = Fingerprints(root=plug.folder)
    prints.symbol("plug.parts:Part")
    assert prints.is_current()

    plug.write(LATER[what])

    assert not prints.is_current()
    assert Fingerprints(root=plug.folder).symbol("plug.parts:Part").digest


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen_by_the_next_process(
    plug: Package, tmp_path: Path
) -> None:
    """What is kept goes by the text; size and time only spare this process a second look."""
    cache, path = tmp_path / "cache", plug.folder / "plug/tools.py"
    before, _ = looked(plug.folder, cache)
    status = path.stat()
    plug.edit("plug/tools", "WIDTH = 1", "WIDTH = 2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert looked(plug.folder, cache)[0] != before


def test_a_source_that_is_no_python_counts_by_its_bytes(plug: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    process_memory.forget("summaries")
    digests = []
    for content in (b"def part(:\n", b"def part(:  \n", b"\x00\n", b"x = '\xff'\n"):
        (plug.folder / "plug/tools.py").write_bytes(content)
        digests.append(Fingerprints(root=plug.folder).symbol("plug.parts:Part").digest)

    assert len(set(digests)) == 4
