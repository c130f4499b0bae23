"""What a component reads, lists and asks for while it is built counts, though no `files()` names it."""

from __future__ import annotations

from pathlib import Path

from .steps import ALL, Step, edit, make, remove, touch, write
from .walks import walk

PARTS = "extensions/parts.py"
ASKING = """\
        self.words = open("texts/words.txt").read().split()
        self.switch = pathlib.Path("switch").is_file()
        self.shelf = os.listdir("shelf")
        self.extra = open("extra.txt").read() if os.path.exists("extra.txt") else ""
        self.memory = os.path.exists("memory/of_it")
"""
MAKING = """\
        os.makedirs("memory", exist_ok=True)
        open("memory/of_it", "w").close()
        open("shelf/left", "w").close()
"""
STEPS = [
    Step("the first time", lambda _: None, ALL, 1),
    Step("what it wrote itself while it trained", lambda _: None, "", 0),
    Step("another content of what it read", write("texts/words.txt", "b"), "fit", 1),
    Step("a touched file", touch("texts/words.txt"), "", 0),
    Step("the content from before", write("texts/words.txt", "a"), "fit", 0),
    Step("a file that was not there", write("extra.txt", "x"), "fit", 1),
    Step("another content of that", write("extra.txt", "y"), "fit", 1),
    Step("a path that it asked for", write("switch", ""), "fit", 1),
    Step("another content there, which it did not read", write("switch", "on"), "", 0),
    Step("another name in a folder", write("shelf/new", ""), "fit", 1),
    Step("a name that an editor leaves", write("shelf/.new.swp", ""), "", 0),
    Step("a file that nobody asked for", write("other.txt", ""), "", 0),
    Step("the path gone again", remove("switch"), "fit", 1),
    Step("a config that does without", edit("configs/experiments/base.yaml", "loss.counted, scale: 1.0", "loss.beside"), "resolve validate fit", 0),
    Step("and what it would have read", write("texts/words.txt", "c"), "", 0),
]  # fmt: skip


def test_what_a_component_finds_while_it_is_built_trains_anew(project: Path) -> None:
    make(project)
    for folder in ("texts", "shelf"):
        (project / folder).mkdir()
    (project / "texts/words.txt").write_text("a")
    edit(PARTS, "import torch\n", "import os, pathlib\nimport torch\n")(project)
    edit(PARTS, "        self.noted = False\n", f"        self.noted = False\n{ASKING}")(project)
    edit(PARTS, "            self.noted = True\n", f"            self.noted = True\n{indented(MAKING)}")(project)
    walk(project, STEPS)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
