"""Modules that plugins let Python find elsewhere count as those in the project do, before these are imported as after."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import write
from warm import doit

from .steps import edit

HELPER = "def factor():\n    return 1.0\n"
PLUGIN = '''\
"""A loss whose factor lies elsewhere."""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).parents[1]
{finds}
from {module} import factor

from otrainer.components.loss import LossOutput


class Scaled:
    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]) * factor())


def register(registry):
    registry.register_module("loss.{name}", Scaled)
'''
EXPERIMENT = """\
defaults: [baseline.yaml]
imports: [extensions.{name}]
run: {{name: {name}}}
loss: {{_merge_: replace, _value_: {{_type_: loss.{name}}}}}
"""
# Where the factor lies, how the plugin lets it be found, and as which module it imports it.
WAYS = {
    "inserted": ("elsewhere/one/scale_one.py", 'sys.path.insert(0, str(HERE / "elsewhere/one"))', "scale_one"),
    "appended": ("elsewhere/two/scale_two.py", 'sys.path.append(str(HERE / "elsewhere/two"))', "scale_two"),
    "relative": ("elsewhere/three/scale_three.py", 'sys.path.insert(1, "elsewhere/three")', "scale_three"),
    "by_site": (
        "elsewhere/four/lib/scale_four.py",
        'import site\n(HERE / "elsewhere/four/x.pth").write_text("lib\\n")\nsite.addsitedir(str(HERE / "elsewhere/four"))',
        "scale_four",
    ),
    "extended": (
        "elsewhere/five/parts/scale_five.py",
        'import parts\nparts.__path__.append(str(HERE / "elsewhere/five/parts"))',
        "parts.scale_five",
    ),
    "by_helper": ("elsewhere/six/scale_six.py", "from extensions import paths", "scale_six"),
    "by_the_same_helper": ("elsewhere/six/scale_eight.py", "from extensions import paths", "scale_eight"),
    "shadowing": ("elsewhere/seven/scale_seven.py", 'sys.path.insert(0, str(HERE / "elsewhere/seven"))', "scale_seven"),
}


@pytest.fixture
def ways(project: Path) -> Path:
    """The project with an experiment for each way."""
    for name, (file, finds, module) in WAYS.items():
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text(HELPER)
        plugin = PLUGIN.replace("{finds}", finds).replace("{module}", module).replace("{name}", name)
        (project / f"extensions/{name}.py").write_text(plugin)
        write(project, name, EXPERIMENT.format(name=name))
    (project / "parts").mkdir()
    (project / "parts/__init__.py").write_text("")
    (project / "scale_seven.py").write_text("raise ImportError('the one in front is meant')\n")
    helper = (
        'import sys\nfrom pathlib import Path\n\nsys.path.insert(0, str(Path(__file__).parents[1] / "elsewhere/six"))\n'
    )
    (project / "extensions/paths.py").write_text(helper)
    return project


def told(project: Path, name: str) -> dict[str, str]:
    """What `doit why` says of each stage, and its reason."""
    lines = doit(project, "why", f"EXP={name}").stdout.splitlines()
    found = {}
    for number, line in enumerate(lines):
        stage, _, verdict = line.strip().partition(" ")
        if stage in ("manifest", "validate", "fit"):
            reason = lines[number + 1].strip() if verdict.strip() == "would run" else ""
            found[stage] = f"{verdict.strip()}: {reason}" if reason else verdict.strip()
    return found


def test_each_of_them_trains_and_an_edit_of_what_it_found_is_seen_with_its_symbol(ways: Path) -> None:
    every = ",".join(WAYS)
    first = doit(ways, "validate", f"EXP={every}")
    assert first.returncode == 0, first.stdout + first.stderr
    for name, (file, _, _) in WAYS.items():
        before = told(ways, name)
        edit(file, "1.0", "7.0")(ways)
        after = told(ways, name)

        assert (before["manifest"], before["validate"]) == ("up to date", "up to date"), name
        assert after["manifest"] == f"would run: `{file}` changed.", name
        assert after["validate"] == f"would run: The code of `loss.{name}` changed.", name
    again = doit(ways, "validate", f"EXP={every}").stdout
    assert again.count(".  manifest:") == len(WAYS) == again.count(".  validate:"), again


def test_what_was_validated_is_trained_in_another_process(ways: Path) -> None:
    """Each has a process of its own for training, which imports the plugin after it looked at the sources."""
    names = ("inserted", "extended")
    trained = doit(ways, "train", f"EXP={','.join(names)}")

    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert [told(ways, name)["fit"] for name in names] == ["up to date", "up to date"]
    file = WAYS["inserted"][0]
    edit(file, "1.0", "7.0")(ways)
    assert (
        told(ways, "inserted")["fit"] == f"would run: `{file}: factor` changed (`loss.inserted` -> Scaled -> factor)."
    )


ASKING = """\
import os
from pathlib import Path

import torch

from otrainer.components.loss import LossOutput

HERE = Path(__file__).parent
WORDS = len(list((HERE / "words").glob("*.txt")))
ON = (HERE / "switch").exists()
if ON:  # and asks for more then, which it never did before
    ON += len((HERE / "deeper.txt").read_text()) + len(os.listdir(HERE / "drawer"))
SCALE = float(os.environ.get("ASKED_SCALE", "1"))
try:
    WORDS += len((HERE / "more.txt").read_text())
except FileNotFoundError:
    pass


class Asking:
    def __init__(self):
        self.more = float(os.getenv("ASKED_MORE", "1"))

    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]) * SCALE * self.more * (1 + ON + WORDS))


def register(registry):
    registry.register_module("loss.asking", Asking)
"""


def test_another_answer_trains_those_that_asked_as_foretold_and_no_other(project: Path) -> None:
    (project / "extensions/asking.py").write_text(ASKING)
    (project / "extensions/words").mkdir()
    (project / "extensions/more.txt").write_text("12")
    write(project, "asking", EXPERIMENT.format(name="asking") + "trainer: {max_epochs: 1}\n")
    write(project, "beside", "defaults: [baseline.yaml]\nrun: {name: beside}\ntrainer: {max_epochs: 1}\n")
    environ = {}

    def trained() -> str:
        done = doit(project, "train", "EXP=asking,beside", **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return "".join(line for line in done.stdout.splitlines(keepends=True) if line.startswith(".  fit:"))

    assert trained() == ".  fit:asking\n.  fit:beside\n"
    last = project / "runs/asking/checkpoints/last.pt"
    first = last.stat().st_mtime_ns
    environ.update(ASKED_SCALE="2", ASKED_MORE="3")
    (project / "extensions/words/a.txt").touch()
    (project / "extensions/switch").touch()
    (project / "extensions/deeper.txt").touch()
    (project / "extensions/drawer").mkdir()
    more = project / "extensions/more.txt"
    more.rename(project / "away.txt")
    why = doit(project, "why", "EXP=asking", **environ).stdout.partition("  fit ")[2].splitlines()
    assert list(map(str.strip, why)) == [
        "would run",
        "`extensions/words` holds files of other names.",
        "`extensions/switch` is there now.",
        "The environment variable `ASKED_MORE` is set now.",
        "The environment variable `ASKED_SCALE` is set now.",
    ]
    assert trained() == ".  fit:asking\n"
    assert trained() == ""
    environ.clear()
    (project / "away.txt").rename(more)
    for name in ("words/a.txt", "switch", "deeper.txt"):
        (project / "extensions" / name).unlink()
    (project / "extensions/drawer").rmdir()
    assert "Nothing would be trained: the finished run in " in doit(project, "why", "EXP=asking").stdout
    trained()
    assert last.stat().st_mtime_ns == first, "the first run comes back"


def test_a_run_comes_back_as_foretold_once_a_file_is_gone_that_only_a_later_one_read(project: Path) -> None:
    reading = 'DEEPER = HERE / "deeper.txt"\nWORDS = len(DEEPER.read_text()) if DEEPER.is_file() else 0\n'
    head, rest = ASKING.split("WORDS = ")[0], ASKING.split("    pass\n")[1]
    (project / "extensions/asking.py").write_text(f"{head}{reading}ON, SCALE = 0, 1\n{rest}")
    write(project, "asking", EXPERIMENT.format(name="asking") + "trainer: {max_epochs: 1}\n")
    assert ".  fit:asking" in doit(project, "train", "EXP=asking").stdout
    (project / "extensions/deeper.txt").write_text("more")
    assert "is kept in runs/.kept" in doit(project, "train", "EXP=asking").stdout
    (project / "extensions/deeper.txt").unlink()

    assert "Nothing would be trained: the finished run in " in doit(project, "why", "EXP=asking").stdout
    assert "the finished run is back" in doit(project, "train", "EXP=asking").stdout


LISTING = """
from pathlib import Path

import torch

from extensions.listed_part import SCALE


class Listing:
    def files(self):
        return [path.as_posix() for path in sorted(Path("data").glob("part*.txt"))]

    def setup(self, stage=None):
        self.value = SCALE * sum(float(Path(name).read_text()) for name in self.files())

    def train_dataloader(self):
        return [{"x": torch.ones(4, 32), "y": torch.full((4, 16), self.value)}]

    def val_dataloader(self):
        return None


def register(registry):
    registry.register_module("data.listing", Listing)
"""


def test_a_run_whose_data_listed_a_folder_is_foretold_to_come_back_once_all_is_as_it_was(project: Path) -> None:
    """Another file lay in the folder meanwhile, and the code was another one: which files it declared is remembered."""
    (project / "extensions/listing.py").write_text(LISTING)
    part, other = project / "extensions/listed_part.py", project / "data/other.txt"
    part.write_text("SCALE = 1.0\n")
    other.parent.mkdir()
    (project / "data/part1.txt").write_text("1")
    text = "defaults: [baseline.yaml]\nimports: [extensions.listing]\nrun: {name: listing}\ntrainer: {max_epochs: 1}\n"
    write(project, "listing", f"{text}data: {{_merge_: replace, _value_: {{_type_: data.listing}}}}\n")
    assert doit(project, "train", "EXP=listing").returncode == 0

    part.write_text("SCALE = 2.0\n")
    other.touch()
    assert ".  fit:listing\n" in doit(project, "train", "EXP=listing").stdout

    part.write_text("SCALE = 1.0\n")
    other.unlink()
    assert "Nothing would be trained: the finished run in " in doit(project, "why", "EXP=listing").stdout
    assert "the finished run is back" in doit(project, "train", "EXP=listing").stdout
