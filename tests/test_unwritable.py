"""A project that cannot be written: questions are answered, and a stage that has to write names the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from incremental.steps import edit
from projects import doit
from trained import A, copy

QUESTIONS = ("list", "help", "runs", "prune", "why EXP=a", "show EXP=a", "audit EXP=a", "diff EXP=a WITH=new")
MOUNTS = {
    "read-only": 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"',
    "full": 'mount -t tmpfs -o size=4m none "$2" && cp -a "$1"/. "$2" && mount --move "$2" "$1"'
    ' && { dd if=/dev/zero of="$1/fill" bs=1k 2>/dev/null; true; }',
}


@pytest.fixture(scope="module")
def finished(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that doit has found up to date, with an experiment that it has not seen."""
    root = copy(original, tmp_path_factory.mktemp("finished") / "project")
    shutil.copy(Path(__file__).parents[1] / "pyproject.toml", root)
    assert doit(root, "train", "EXP=a").returncode == 0
    shutil.copy(root / A, root / "configs/experiments/new.yaml")
    edit("configs/experiments/new.yaml", "run:", "# new\nrun:")(root)
    return root


def asked(root: Path, folder: Path, mount: str, *calls: str) -> list[tuple[int, str, str]]:
    """Exit status, stdout and stderr of each call of doit in the project, mounted in another way for these alone."""
    lines = [f"{mount} || exit 77", 'cd "$1"']
    for number, call in enumerate(calls):
        lines.append(f'"{sys.executable}" -m doit {call} >"{folder}/{number}.out" 2>"{folder}/{number}.err"; echo $?')
    (folder / "mounted").mkdir()
    words = ["unshare", "-m", "/bin/sh", "-c", "\n".join(lines), "", str(root), str(folder / "mounted")]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    said = [[(folder / f"{number}.{kind}").read_text() for kind in ("out", "err")] for number in range(len(calls))]
    return [(int(code), out, err) for code, (out, err) in zip(done.stdout.split(), said, strict=True)]


@pytest.mark.parametrize(("mount", "questions"), [("read-only", QUESTIONS), ("full", QUESTIONS[3:5])])
def test_questions_are_answered_and_what_has_to_write_says_where(
    finished: Path, tmp_path: Path, mount: str, questions: tuple[str, ...]
) -> None:
    calls = (*questions, "train EXP=a", "train EXP=new", "forget manifest:a")
    *answers, done, new, forgotten = asked(finished, tmp_path, MOUNTS[mount], *calls)

    unanswered = [each for each in zip(questions, answers, strict=True) if each[1][::2] != (0, "") or not each[1][1]]
    assert unanswered == []
    assert done == (0, "-- resolve:a\n-- manifest:a\n-- validate:a\n-- fit:a\n", "")
    code, _, err = new
    assert (code, err.splitlines()[0], "Traceback" in err) == (1, "cannot write", False)
    assert "build/new/resolved.json`" in err.splitlines()[1]
    code, _, err = forgotten
    if mount == "read-only":  # what is forgotten makes room
        assert (code, err.startswith("ERROR: `build/.doit.db`, where doit keeps its state: ")) == (3, True)
