"""What edits of plugins, their helpers and their order cost."""

from __future__ import annotations

import shutil
from pathlib import Path

from .steps import ALL, Step, edit, make, touch, write
from .walks import walk

PARTS, HELPER, BASE = "extensions/parts.py", "extensions/helper.py", "configs/experiments/base.yaml"
STEPS = [
    Step("the first time", lambda _: None, ALL, 1),
    Step("a comment in a plugin", edit(PARTS, "UNUSED = 1", "UNUSED = 1  # of no use"), "manifest", 0),
    Step("a touched plugin", touch(PARTS, HELPER), "", 0),
    Step("a docstring", edit(PARTS, '"""A loss that notes each training."""', '"""A loss that notes trainings."""'), "manifest validate", 0),
    Step("an unused class", edit(PARTS, "outputs.sum()", "outputs.mean()"), "manifest validate", 0),
    Step("an unused constant", edit(PARTS, "UNUSED = 1 ", "UNUSED = 2 "), "manifest validate", 0),
    Step("an unused function of a helper", edit(HELPER, "SPARE = 0", "SPARE = 1"), "manifest", 0),
    Step("a constant two imports away", edit(HELPER, "FACTOR = 2.0", "FACTOR = 3.0"), "manifest validate fit", 1),
    Step("an attribute of a helper", edit(HELPER, "OFFSET = 1.0", "OFFSET = 2.0"), "manifest validate fit", 1),
    Step("that one back", edit(HELPER, "OFFSET = 2.0", "OFFSET = 1.0"), "manifest validate fit", 0),
    Step("a base", edit(HELPER, "bias = 0.0", "bias = 1.0"), "manifest validate fit", 1),
    Step("a decorator", edit(HELPER, "return fn(x) * 1", "return fn(x) * 2"), "manifest validate fit", 1),
    Step("a signature", edit(PARTS, "scale: float = 1.0):", "scale: float = 1.0, more=None):"), "manifest validate fit", 1),
    Step("a new component", edit(PARTS, "def register(registry):\n", "def register(registry):\n    registry.register_module('loss.new', Beside)\n"), "manifest validate", 0),
    Step("a shadowing name", edit(PARTS, "UNUSED = 2 ", "from .helper import spare as weigh_spare\nUNUSED = 2 "), "manifest", 0),
    Step("a name shadowed in earnest", edit(PARTS, "class Beside(Base):", "def weigh(x):\n    return x\n\n\nclass Beside(Base):"), "manifest validate fit", 1),
    Step("a module that acts when imported", edit(HELPER, "SPARE = 1", "SPARE = 1\nprint('', end='')"), "manifest validate fit", 1),
    Step("another plugin that does nothing on import", lambda project: [write("extensions/quiet.py", "def register(registry):\n    pass\n")(project), edit(BASE, "[extensions.parts]", "[extensions.parts, extensions.quiet]")(project)], "resolve manifest validate", 0),
    Step("an edit of that one", edit("extensions/quiet.py", "pass", "return None"), "manifest validate", 0),
    Step("a constant read from a file of the project", lambda project: [write("table.txt", "2.0")(project), edit(HELPER, "FACTOR = 3.0", "FACTOR = float(open('table.txt').read())")(project)], "manifest validate fit", 1),
    Step("another number in that file", write("table.txt", "4.0"), "manifest validate fit", 1),
    Step("that file touched", touch("table.txt"), "", 0),
    Step("the number from before", write("table.txt", "2.0"), "manifest validate fit", 0),
    Step("a renamed module", lambda project: [shutil.move(project / HELPER, project / "extensions/helped.py"), (project / PARTS).write_text((project / PARTS).read_text().replace("from . import helper", "from . import helped as helper").replace("from .helper", "from .helped"))], "manifest validate fit", 1),
]  # fmt: skip


def test_each_edit_costs_what_it_touches_and_why_foretells_it(project: Path) -> None:
    make(project)
    walk(project, STEPS)
