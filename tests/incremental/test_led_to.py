"""Code that no plugin imports by its name: what the config leads to retrains, what nothing leads to is told."""

from __future__ import annotations

from pathlib import Path

from projects import write
from warm import doit

PLUGIN = """\
import importlib
import os
import runpy

import torch

from otrainer.components.loss import LossOutput

def run():
    return runpy.run_path("parts/script.py"), os.environ.get("SEEN", "1")


SPACE, SEEN = run()


class Scaled:
    def __init__(self, by):
        module, _, name = by.rpartition(".")
        self.factor = getattr(importlib.import_module(module), name)
        self.more = float(os.environ.get("MORE", "1"))

    def __call__(self, *, outputs, targets, batch, stage):
        scale = self.factor() * self.more * SPACE["FACTOR"] * float(SEEN) * float(os.environ.get("LATE", "1"))
        return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]) * scale)


def register(registry):
    registry.register_module("loss.scaled", Scaled)
"""
EXPERIMENT = """\
defaults: [baseline.yaml]
imports: [extensions.scaled]
settings: {allow_target: true, allowed_import_prefixes: [otrainer., extensions., elsewhere.]}
run: {name: scaled}
loss: {_merge_: replace, _value_: {_type_: loss.scaled, by: elsewhere.scale.factor}}
callbacks: {_merge_: append, _value_: [{_target_: elsewhere.watching.Watch}]}
"""
MODULES = {
    "elsewhere/__init__.py": "",
    "elsewhere/scale.py": "def factor():\n    return 1.0\n\n\ndef beside():\n    return 1.0\n",
    "elsewhere/watching.py": "class Watch:\n    every = 1\n\n    def on_fit_start(self, ctx): ...\n",
    "parts/script.py": "FACTOR = 1.0\n",
    "extensions/scaled.py": PLUGIN,
}


def test_code_that_the_config_leads_to_retrains_and_what_is_not_followed_is_told(project: Path) -> None:
    for name, text in MODULES.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    write(project, "scaled", EXPERIMENT)
    doit(project, "train", "EXP=scaled")
    for name in ("elsewhere/scale.py", "elsewhere/watching.py", "parts/script.py"):
        (project / name).write_text(MODULES[name].replace("1", "2", 1))
    why = doit(project, "why", "EXP=scaled").stdout
    train = doit(project, "train", "EXP=scaled").stdout

    assert "`elsewhere/scale.py: factor` changed (`elsewhere.scale.factor` -> factor)." in why
    assert "`elsewhere/watching.py: Watch` changed (`elsewhere.watching.Watch` -> Watch)." in why
    assert "The data file `parts/script.py` changed." in why
    assert [line.split("`")[1] for line in why.splitlines() if "followed" in line] == [
        "extensions/scaled.py:19",
        "extensions/scaled.py:23",
    ]
    assert "the environment variable `LATE`: what it reads is not followed, unlike `${env:NAME}` in the config." in why
    assert ".  fit:scaled\n" in train
