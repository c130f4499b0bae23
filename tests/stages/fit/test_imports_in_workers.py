"""What data workers import in the middle of a run is what was validated, as what the run itself imports is."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from projects import write

from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment

LATE, PART = "extensions/late_part.py", "extensions/late.py"
PLUGIN = """
from pathlib import Path

import torch
from torch.utils.data import DataLoader

SCALE = 1.0


class Samples:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        from extensions.late_part import VALUE

        return {"x": torch.full((32,), VALUE * SCALE), "y": torch.ones(16)}


class Data:
    def __init__(self, context):
        self.context = context

    def setup(self, stage=None):
        pass

    def train_dataloader(self):
        return DataLoader(Samples(), batch_size=2, num_workers=1, multiprocessing_context=self.context)

    def val_dataloader(self):
        return None


class Edit:
    def on_fit_start(self, ctx):
        self.edit("start")

    def on_epoch_end(self, ctx):
        self.edit("epoch")

    def edit(self, now):
        when, name, text = Path("edit").read_text().split("|", 2)
        if when == now:
            Path(name).write_text(text)


def register(registry):
    registry.register_module("data.late", Data)
    registry.register_module("cb.edit", Edit)
"""
EXPERIMENT = """
defaults: [baseline.yaml]
imports: [extensions.late]
run: {name: late}
trainer: {max_epochs: 2}
data: {_merge_: replace, _value_: {_type_: data.late, context: CONTEXT}}
callbacks: {_merge_: append, _value_: [{_type_: cb.edit}]}
"""


@pytest.fixture
def root(project: Path) -> Path:
    (project / PART).write_text(PLUGIN)
    (project / LATE).write_text("VALUE = 1.0\n")
    return project


def run(root: Path, context: str, edit: str) -> str:
    write(root, "late", EXPERIMENT.replace("CONTEXT", context))
    (root / "edit").write_text(edit)
    try:
        run_experiment("configs/experiments/late.yaml")
    except ConfigError as error:
        assert error.findings[0].title == "changed meanwhile", error
        assert "data worker of it, imported it" in str(error)
    state: str = json.loads((root / "runs/late/run.json").read_text())["state"]
    return state


@pytest.mark.parametrize(
    ("context", "edit"),
    [
        ("fork", f"start|{LATE}|VALUE = 2.0\n"),
        ("fork", f"epoch|{LATE}|VALUE = 2.0\n"),
        ("spawn", f"epoch|{PART}|{PLUGIN.replace('SCALE = 1.0', 'SCALE = 2.0')}"),
        ("forkserver", f"epoch|{LATE}|VALUE = 2.0\n"),
    ],
    ids=["before the first worker", "before the second epoch's", "the dataset's own, no fork", "a server of forks"],
)
def test_what_was_edited_before_a_worker_imported_it_spoils_the_run(root: Path, context: str, edit: str) -> None:
    """What a process that is no fork imports again may be of another time than what the run itself imported."""
    assert run(root, context, edit) == "failed"


@pytest.mark.parametrize(
    ("context", "edit"),
    [
        ("fork", f"start|{LATE}|VALUE = 1.0  # the same\n"),
        ("fork", f"epoch|{PART}|{PLUGIN.replace('SCALE = 1.0', 'SCALE = 1.0  # the same')}"),
        ("spawn", f"epoch|{PART}|{PLUGIN}# the same\n"),
    ],
    ids=["a comment", "the dataset's own, a fork", "a comment, no fork"],
)
def test_what_workers_import_as_it_was_validated_completes_the_run(root: Path, context: str, edit: str) -> None:
    left = set(Path(tempfile.gettempdir()).glob("otrainer-*"))
    assert run(root, context, edit) == "complete"
    assert set(Path(tempfile.gettempdir()).glob("otrainer-*")) <= left


def test_a_fork_tells_nothing_that_it_had_before(tmp_path: Path) -> None:
    """Also where no plugin was loaded: what a script had imported may have been edited since, and the fork has it."""
    (tmp_path / "mine.py").write_text("VALUE = 1\n")
    code = (
        "import os, sys; from pathlib import Path; import mine\n"
        "from otrainer.registry.plugins import from_source, in_workers\n"
        "root = Path.cwd(); from_source.load_from_source(root)\n"
        "Path('mine.py').write_text('VALUE = 2\\n'); Path('late.py').write_text('VALUE = 3\\n')\n"
        "if not os.fork():\n"
        "    in_workers.ImportsTold(root / 'told', frozenset({root}))()\n"
        "    import late\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(in_workers.told_in(root / 'told'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[('late', b'VALUE = 3\\n')]\n"
