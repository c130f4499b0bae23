"""What edits of YAML, includes, the environment, data, artifacts and run folders cost."""

from __future__ import annotations

import shutil
from pathlib import Path

from .steps import ALL, Step, edit, make, remove, touch, write
from .walks import walk

A, BASE = "configs/experiments/a.yaml", "configs/experiments/base.yaml"
STEPS = [
    Step("the first time", lambda _: None, ALL, 1),
    Step("nothing", lambda _: None, "", 0),
    Step("a comment", edit(A, "# Counts", "# It counts"), "resolve", 0),
    Step("layout", edit(A, "{name: a, seed", "{name:  a,  seed"), "resolve", 0),
    Step("a touched experiment", touch(A, BASE), "", 0),
    Step("a comment in an include", edit(BASE, "# What every", "# What each"), "resolve", 0),
    Step("a value in an include", edit(BASE, "scale: 1.0", "scale: 2.0"), "resolve validate fit", 1),
    Step("going back to it", edit(BASE, "scale: 2.0", "scale: 1.0"), "resolve validate fit", 0),
    Step("and forth again", edit(BASE, "scale: 1.0", "scale: 2.0"), "resolve validate fit", 0),
    Step("a value set to what it was", edit(A, "defaults: [base.yaml]\n", "defaults: [base.yaml]\nloss: {scale: 2.0}\n"), "resolve", 0),
    Step("sections in another order", lambda project: [edit(A, "loss: {scale: 2.0}\n", "")(project), (project / A).write_text((project / A).read_text() + "loss: {scale: 2.0}\n")], "resolve", 0),
    Step("another variable of the environment", lambda _: None, "", 0, {"OTHER": "1"}),
    Step("one that is read", lambda _: None, "resolve validate fit", 1, {"SEED": "1"}),
    Step("the same with blanks", lambda _: None, "resolve", 0, {"SEED": " 1 "}),
    Step("one unset again", lambda _: None, "resolve validate fit", 0, {"OTHER": "2"}),
    Step("replaced data", write("numbers.txt", "1 2 4"), "validate fit", 1),
    Step("touched data", touch("numbers.txt"), "", 0),
    Step("the data from before", write("numbers.txt", "1 2 3"), "validate fit", 0),
    Step("a file more in a data folder", write("folder/new.txt", "5"), "validate fit", 1),
    Step("a touched file in it", touch("folder/new.txt"), "", 0),
    Step("that file gone", remove("folder/new.txt"), "validate fit", 0),
    Step("an altered artifact", write("build/a/resolved.json", "{}"), "resolve", 0),
    Step("a deleted artifact", remove("build/a/validated.json"), "validate", 0),
    Step("no fit.json", remove("build/a/fit.json"), "fit", 0),
    Step("no build folder", lambda project: shutil.rmtree(project / "build"), ALL, 0),
    Step("a deleted checkpoint", remove("runs/a/checkpoints/last.pt"), "fit", 1),
    Step("a touched checkpoint", touch("runs/a/checkpoints/last.pt"), "", 0),
    Step("settings that allow more", edit(BASE, "[otrainer., extensions.]", "[otrainer., extensions., other.]"), "resolve manifest validate", 0),
    Step("a run folder copied away and back", lambda project: [shutil.move(project / "runs/a", project / "b"), shutil.copytree(project / "b", project / "runs/a")], "", 0),
    Step("notes, and null for none", edit(A, "run:", "params: {note: 1}\nscheduler: null\nrun:"), "resolve validate", 0),
    Step("a run renamed with its folder", lambda project: [shutil.move(project / "runs/a", project / "runs/b"), edit(A, "name:  a", "name: b")(project)], "resolve validate", 0),
    Step("a run folder gone", lambda project: shutil.rmtree(project / "runs/b"), "fit", 1),
]  # fmt: skip


def test_each_edit_costs_what_it_touches_and_why_foretells_it(project: Path) -> None:
    make(project)
    walk(project, STEPS)
