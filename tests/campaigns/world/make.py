"""A world with some features in it: every value that they bring ends up in one number, the loss that is logged."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from campaigns.world.modules import MODULES
from campaigns.world.place import Feature, World
from campaigns.world.reads import READS

REPO = Path(__file__).parents[3]
ALL = (*MODULES, *READS)
EXPERIMENT = """\
# Trains one step, whose loss says what it was made of.
defaults: [{defaults}]
imports: [extensions.plugin]
settings: {{allowed_import_prefixes: [otrainer., extensions.]}}
run: {{name: a}}
trainer: {{max_epochs: 1, log_every_n_steps: 1}}
data: {{_merge_: replace, _value_: {{_type_: data.declared, names: [{data}]}}}}
io: {{_merge_: replace, _value_: {{_type_: io.mapping, model_kwargs: {{x: [x]}}, targets: {{y: [y]}}}}}}
loss: {{_type_: loss.number, more: {{}}, fn: {{_merge_: replace, _value_: null}}}}
loggers: {{_merge_: replace, _value_: [{{_type_: log.json_lines, path: "${{run.out_dir}}/metrics.jsonl"}}]}}
callbacks: {{_merge_: replace, _value_: [{{_type_: cb.model_checkpoint, save_dir: "${{run.out_dir}}/checkpoints"}}]}}
optimizer: {{type: optim_cls.SGD}}
model: {{sequential: {{inputs: [x], layers: [{{_type_: nn.Linear, in_features: 1, out_features: 1}}]}}}}
"""
PLUGIN = '''\
"""One number of all that flows in."""

import hashlib
import os
from pathlib import Path

import torch

from otrainer.components.loss import LossOutput

{imports}


def content(name):
    path = Path(name)
    if path.is_dir():
        return [(str(each.relative_to(path)), each.read_text()) for each in sorted(path.rglob("*")) if each.is_file() and each.name[0] != "." and each.name[-1] != "~"]
    return path.read_text()


class Declared:
    def __init__(self, names):
        self.names = []
        for name in names:
            variable, found, rest = name.partition(":")
            self.names.append(rest + os.environ[variable[1:]] if found else name)

    def files(self):
        return [*self.names{named}]

    def setup(self, stage=None):
        text = repr([content(name) for name in self.files()])
        self.number = int(hashlib.sha256(text.encode()).hexdigest()[:5], 16)

    def train_dataloader(self):
        return [{{"x": torch.ones(1, 1), "y": torch.full((1, 1), float(self.number))}}]

    def val_dataloader(self):
        return []


class Number:
    def __init__(self, more, fn=None):
        self.more = more
        self.initial = [{initial}]

    def __call__(self, *, outputs, targets, batch, stage):
        values = [{values}]
        text = repr([self.initial, values, sorted(self.more.items()), float(targets["y"].sum())])
        print("VALUES", text)
        return LossOutput(outputs.sum() * 0 + int(hashlib.sha256(text.encode()).hexdigest()[:6], 16))


def register(registry):
    {registers}
    registry.register_module("loss.number", Number)
    registry.register_module("data.declared", Declared)
'''


def drawn(rng: Random, only: str | None = None) -> list[Feature]:
    """Some features at random; `only` keeps one kind."""
    makers = [each for each in ALL if only in (None, each.__name__)]
    chosen = [rng.choice(makers) for _ in range(1 if only else rng.randrange(2, 7))]
    return [make(n, rng) for n, make in enumerate(chosen)]


def lay_out(world: World, features: list[Feature], template: Path | None) -> None:
    """Write the world; from `template` comes what is remembered of otrainer's own sources."""
    world.root.mkdir(parents=True)
    shutil.copy(REPO / "dodo.py", world.root)
    shutil.copytree(REPO / "configs/base", world.root / "configs/base")
    if template is not None:
        shutil.copytree(template, world.root / "build/.code")
    world.write("@/extensions/__init__.py", "")
    world.write("site/any.txt", "")
    data: list[str] = []
    defaults = ["../base/runtime.yaml"]
    for n, feature in enumerate(features):
        for name, text in feature.files.items():
            world.write(name, text)
        for name, to in feature.links.items():
            world.link(name, to)
        world.write(f"@/extensions/f{n}.py", feature.code)
        world.variables |= feature.variables
        world.pythonpath += [each for each in feature.pythonpath if each not in world.pythonpath]
        data += feature.data
        defaults += feature.defaults
    for name in world.pythonpath:
        world.path(name).mkdir(exist_ok=True)
    experiment = EXPERIMENT.format(defaults=", ".join(defaults), data=", ".join(f'"{each}"' for each in data))
    world.write("@/configs/experiments/a.yaml", experiment)
    world.write("@/extensions/plugin.py", plugin(features))


def plugin(features: list[Feature]) -> str:
    numbered = list(enumerate(features))
    values = [
        f"f{n}.value()" if "def value" in each.code else f"f{n}.VALUE"
        for n, each in numbered
        if "def initial" not in each.code
    ]
    return PLUGIN.format(
        imports="\n".join(f"from extensions import f{n}" for n, _ in numbered),
        values=", ".join(values),
        initial=", ".join(f"f{n}.initial()" for n, each in numbered if "def initial" in each.code),
        named="".join(f", *{each.named}" for each in features if each.named),
        registers="; ".join(f"f{n}.register(registry)" for n, each in numbered if "def register" in each.code)
        or "pass",
    )
