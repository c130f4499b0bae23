"""What a person sees at a terminal: a real one, of which both ends are held here."""

from __future__ import annotations

import os
import pty
import re
import shutil
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

from .processes import REPO

COLUMNS = 50
STAGES = (".  ", "-- ", "   ")  # what people read when a document goes to stdout
ESCAPE = re.compile("\x1b\\[[0-9;]*m")
SEEN = """\
wrong value ── configs/experiments/a.yaml:1:1
  1 | wrong: validate # what goes wrong in the sh…
    | ^^^^^
  `wrong` is not right.
  while validating a
"""


def spare_torch(project) -> None:
    """Without a manifest, the worker begins by importing torch."""
    manifest = project.root / "build/a/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()


def at_terminal(project, *words: str, **environ: str) -> str:
    """All that doit writes to a terminal of `COLUMNS` columns."""
    spare_torch(project)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    unset = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "COLORTERM")
    env = {key: value for key, value in project.env.items() if key not in unset} | {"TERM": "xterm-256color", **environ}
    command = [sys.executable, "-m", "doit", *words]
    process = subprocess.Popen(command, cwd=project.root, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not read:
            break
        seen += read
    os.close(ours)
    assert process.wait() == 1
    return seen.decode().replace("\r\n", "\n")


def test_a_report_is_in_colour_and_cut_to_the_width(project):
    project.write("a", f"wrong: validate # what {'goes wrong in the shown line ' * 3}\n")
    seen = at_terminal(project, "validate", "EXP=a")

    assert ESCAPE.sub("", seen).endswith(SEEN)
    assert "\x1b[1;31mwrong value\x1b[0m" in seen


@pytest.mark.parametrize("words", ["list", "help", "runs", "validate FORMAT=json"])
def test_an_answer_that_nobody_reads_to_its_end_is_no_error(project, words):
    """`doit help` reads no dodo.py; what is ours there is named by the installed package, and by a checkout."""
    shutil.copy(REPO / "pyproject.toml", project.root)
    spare_torch(project)
    with subprocess.Popen(
        [sys.executable, "-m", "doit", *words.split()],
        cwd=project.root,
        env=project.env | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as doit:
        doit.stdout.close()
        said = doit.stderr.read()
    assert doit.returncode == 0
    assert [line for line in said.splitlines() if not line.startswith(STAGES)] == []


@pytest.mark.parametrize(("words", "code"), [("list", 1), ("why EXP=a", 1), ("validate FORMAT=json", 1), ("train", 0)])
def test_a_full_disk_behind_stdout_is_told_in_a_line_and_keeps_no_training_from_its_end(project, words, code):
    spare_torch(project)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "doit", *words.split()],
            cwd=project.root,
            env=project.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = [line for line in done.stderr.splitlines() if not line.startswith(STAGES)]
    assert (done.returncode, said) == (code, ["stdout cannot be written: No space left on device"])


def test_a_closed_stdout_is_no_error(project):
    for words in ("list", "train", "why EXP=a"):
        command = f'exec "{sys.executable}" -m doit {words} <&- >&-'
        done = subprocess.run(["/bin/sh", "-c", command], cwd=project.root, env=project.env, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_commands_the_terminal_where_colours_are_not_wanted(project):
    """What is written in a file does not either."""
    project.write("a", "wrong: validate # \x1b[2J\x1b]0;owned\x07\n")
    seen = at_terminal(project, "validate", "EXP=a", NO_COLOR="1")

    assert "wrong: validate # ␛[2J␛]0;owned␇" in seen
    assert "\x1b" not in seen
