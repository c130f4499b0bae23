"""A disk that fills, at each stage: one report that names the file, nothing torn, and the next call goes on.

A limit on the size of files stands for the disk, since anybody may set one; `tests/test_unwritable.py` has a real one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from trained import copy
from warm import doit

from otrainer.storage.atomic import TEMP_PREFIX

LOGGED = "loggers: {_merge_: replace, _value_: [{_type_: log.json_lines, path: '${run.out_dir}/rows.jsonl'}]}"


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """The project with what was parsed, and nothing made of it."""
    root = copy(original, tmp_path / "project")
    for name in ("build", "runs"):
        (root / name).rename(tmp_path / name)
    (root / "build").mkdir()
    base = root / "configs/experiments/base.yaml"
    base.write_text(base.read_text().replace("loggers: {_merge_: replace, _value_: []}", LOGGED))
    return root


def limited(root: Path, size: int) -> subprocess.CompletedProcess[str]:
    """Train where no file may be longer."""
    return subprocess.run(
        [sys.executable, "-m", "doit", "train", "EXP=a"],
        cwd=root,
        # Python itself leaves half a compiled file where there is no room, and would trip over it.
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("size", "named"),
    [
        (900, "build/a/resolved.json"),
        (40_000, "build/.manifests/"),
        (200_000, "runs/a/code/fingerprints.json"),
    ],
    ids=["resolve", "manifest", "fit"],
)
def test_a_stage_that_finds_no_room_says_so_and_goes_on_with_room(root: Path, size: int, named: str) -> None:
    done = limited(root, size)

    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "OTRAINER_TRACEBACK" not in said
    assert any("cannot write" in line for line in done.stderr.splitlines()), said
    (told,) = [line for line in done.stderr.splitlines() if "cannot be written" in line and named in line]
    assert told.endswith("File too large.")
    assert list(root.rglob(f"{TEMP_PREFIX}*")) == []
    for path in root.glob("build/**/*.json"):
        json.loads(path.read_bytes().partition(b"\n")[2] if path.parent.name == ".code" else path.read_bytes())

    again = doit(root, "train", "EXP=a")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "-- fit:a" in doit(root, "train", "EXP=a").stdout
