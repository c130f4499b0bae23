"""`doit runs` is a table of all runs, kept ones below theirs, with what they take on the disk."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from incremental.steps import edit, write
from trained import BASE, A, ask, listing, train

from otrainer.storage.runs.lock import lock_run

from .reasons import RUN, in_json

STARTED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
KEPT = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z-[0-9a-f]{8}")


def table(root: Path, *names: str) -> str:
    """The answer, its times, sizes and definitions masked with as many letters."""
    before = listing(root)
    text = ask("runs", root, *names).report
    assert listing(root) == before
    text = KEPT.sub("T" * 27, STARTED.sub("T" * 19, text))
    text = re.sub(r"(?<=runs, )[\d.]+ [KM]iB|(?<=take )[\d.]+ [KM]iB", "S", text)
    text = re.sub(r"[\d.]+(?= KiB)", lambda found: "S" * len(found[0]), text)
    return re.sub(r"\b[0-9a-f]{8}\b", "D" * 8, text)


def with_child(root: Path) -> None:
    """A second definition, a child that goes on from it, and another experiment in a folder of its own."""
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)
    edit(A, "run:", "trainer: {max_epochs: 2}\nrun:")(root)
    train(root, stages="resolve manifest validate resume")
    write("configs/experiments/b.yaml", "defaults: [a.yaml]\nrun: {name: b, out_dir: runs/sub/b}\n")(root)
    in_json(RUN, metrics={"val_loss": 0.123456, "val_accuracy": 1.0, "third": 3.0})(root)


def test_the_table_holds_each_run_with_the_kept_ones_below_it(root: Path) -> None:
    with_child(root)
    train(root, "b")

    expected = """\
run                            state     step  metrics                          started (UTC)             size  definition  continued from
a                              complete     6  val_loss 0.1235, val_accuracy 1  TTTTTTTTTTTTTTTTTTT  SSSSS KiB  DDDDDDDD    DDDDDDDD at 3
  TTTTTTTTTTTTTTTTTTTTTTTTTTT  complete     3                                   TTTTTTTTTTTTTTTTTTT  SSSSS KiB  DDDDDDDD
  TTTTTTTTTTTTTTTTTTTTTTTTTTT  complete     3                                   TTTTTTTTTTTTTTTTTTT  SSSSS KiB  DDDDDDDD
sub/b                          complete     6                                   TTTTTTTTTTTTTTTTTTT  SSSSS KiB  DDDDDDDD
4 runs, S; kept runs take S (`doit prune` removes them)"""  # noqa: E501 - as it is printed
    assert table(root) == expected


def test_one_experiment_has_its_own_runs_shown_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    write("configs/experiments/far.yaml", f"defaults: [a.yaml]\nrun: {{name: far, out_dir: {tmp_path}/far}}\n")(root)
    train(root, "far")

    assert [line.split()[0] for line in ask("runs", root, "a").report.splitlines()] == ["run", "a", "1"]
    assert [line.split()[0] for line in ask("runs", root, "far").report.splitlines()] == ["run", f"{tmp_path}/far", "1"]


def test_a_terminal_of_80_columns_gets_what_fits(root: Path) -> None:
    with_child(root)
    lines = on_terminal(root, "runs").splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["run", "state", "step", "size", "continued", "from"]
    assert lines[-2:-1] == ["(a wider terminal also shows: metrics, started (UTC), definition)"]


def on_terminal(root: Path, query: str) -> str:
    """What a terminal of 80 columns shows of an answer, asked by a process that has it."""
    code = (
        "import os, sys; from pathlib import Path; from otrainer.commands import answer\n"
        "from otrainer.commands import Question\n"
        f"print(answer({query!r}, Question(Path.cwd(), (), {{}}, None)).report)"
    )
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    sized = f"import termios; termios.tcsetwinsize(1, (24, 80))\n{code}"
    done = subprocess.Popen([sys.executable, "-c", sized], cwd=root, env=environ, stdout=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert done.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_run_under_way_is_told_from_one_that_was_cut_off(root: Path) -> None:
    in_json(RUN, state="running", pid=4711)(root)
    assert table(root).splitlines()[1].startswith("a    cut off     3  ")
    with lock_run(root / "runs/a"):
        assert ask("runs", root).report.splitlines()[1].startswith("a    running (4711)     3  ")


def test_damaged_and_lost_runs_are_shown_as_such(root: Path) -> None:
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)
    write(RUN, "{")(root)
    assert table(root).splitlines()[1].split()[:3] == ["a", "damaged", "run.json"]
    (root / RUN).unlink()

    assert table(root).splitlines()[1].split("  ")[-1].strip() == "only kept runs"


def test_a_file_with_two_names_counts_once(root: Path) -> None:
    before = ask("runs", root).report
    os.link(root / "runs/a/checkpoints/last.pt", root / "runs/a/checkpoints/same.pt")

    assert ask("runs", root).report == before


def test_no_runs_at_all(root: Path) -> None:
    (root / "runs").rename(root / "elsewhere")

    assert ask("runs", root).report == "There are no runs yet: `doit train EXP=NAME` makes one."
    assert json.loads((root / "elsewhere/a/run.json").read_text())["state"] == "complete"
