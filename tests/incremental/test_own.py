"""What an edit of otrainer's own source costs: those retrain whose components it changed, at once and once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from projects import doit, write

REPO = Path(__file__).parents[2]


def executed(project: Path, own: Path) -> str:
    done = doit(project, "train", "EXP=short", PYTHONPATH=str(own))
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(re.findall(r"^\.  (\w+):short$", done.stdout, re.MULTILINE))


def test_an_edit_of_a_built_in_component_retrains_who_uses_it(project: Path) -> None:
    own = project / "own"
    shutil.copytree(REPO / "otrainer", own / "otrainer")  # with what was compiled of it, and its times
    write(project, "short", "defaults: [baseline.yaml]\nrun: {name: short}\ntrainer: {max_epochs: 1}\n")
    assert executed(project, own) == "resolve manifest validate fit"
    assert executed(project, own) == ""
    edits = {
        "components/loss.py": ("self.fn(prediction, target), weight", "self.fn(target, prediction), weight"),
        "components/metrics.py": ('STAGES = ("train", "val")', 'STAGES = ("train", "val", "test")'),
    }
    for (name, (old, new)), stages in zip(edits.items(), ("manifest validate fit", "manifest validate"), strict=True):
        path = own / "otrainer" / name
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))
        assert executed(project, own) == stages
