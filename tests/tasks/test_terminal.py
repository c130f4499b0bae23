"""What a person sees at a terminal: a real one, of which both ends are held here."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ

COLUMNS = 50
ESCAPE = re.compile("\x1b\\[[0-9;]*m")
SEEN = """\
wrong value ── configs/experiments/a.yaml:1:1
  1 | wrong: validate # what goes wrong in the sh…
    | ^^^^^
  `wrong` is not right.
  while validating a
"""


def at_terminal(project, *words: str, **environ: str) -> str:
    """All that doit writes to a terminal of `COLUMNS` columns."""
    manifest = project.root / "build/a/manifest.json"  # without one, the worker begins by importing torch
    manifest.parent.mkdir(parents=True)
    manifest.touch()
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


def test_an_answer_that_nobody_reads_to_its_end_is_no_error(project):
    command = [sys.executable, "-m", "doit", "runs"]
    with subprocess.Popen(
        command, cwd=project.root, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as doit:
        doit.stdout.close()
        said = doit.stderr.read()
    assert (doit.returncode, said) == (0, b"")


def test_nothing_commands_the_terminal_where_colours_are_not_wanted(project):
    """What is written in a file does not either."""
    project.write("a", "wrong: validate # \x1b[2J\x1b]0;owned\x07\n")
    seen = at_terminal(project, "validate", "EXP=a", NO_COLOR="1")

    assert "wrong: validate # ␛[2J␛]0;owned␇" in seen
    assert "\x1b" not in seen
