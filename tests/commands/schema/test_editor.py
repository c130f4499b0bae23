"""`doit schema` for real, and what a person then sees in an editor whose language server is npm's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otrainer.storage.canonical_json import canonical_json

from .language_server import Editor, NotInstalledError, install

ROOT = Path(__file__).parents[3]
UNKNOWN_SECTION = (
    "No section has this name. Values of your own go under `params`; a section of another name is right only if some "
    "`${...}` reads it, which an editor cannot tell."
)
SHIPPED = len([*ROOT.glob("configs/experiments/*.yaml")])
UNKNOWN_TRAINER = (
    "There is no such key. Under `trainer.*` there are trainer.adversarial, trainer.default, trainer.flow_matching, "
    "trainer.verbose. "
    "A plugin's come here once an experiment imports it and `doit schema` has run."
)
UNKNOWN_KEY = (
    "No component is registered under this key. There are `nn.*` for every class of torch.nn, otrainer's own, and "
    "those of plugins. A plugin's come here once an experiment imports it and `doit schema` has run."
)
UNKNOWN_CALL = (
    "`call` is `module:NAME` with a name from `modules`, or `op:NAME` with an op: `add`, `cat`, `getitem`, `identity`, "
    "`mul`, `stack`, `torch.NAME`, `F.NAME`."
)
HEADER = "# yaml-language-server: $schema=../../build/schema.json\n"


@dataclass(frozen=True)
class Shipped:
    """A copy of what the repository ships, with its schema made by a real doit, and what that said."""

    root: Path
    said: str


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    root = tmp_path_factory.mktemp("shipped")
    shutil.copy(ROOT / "dodo.py", root)
    for name in ("configs", "extensions"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "doit", "schema"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return Shipped(root, done.stdout)


@pytest.fixture(scope="module")
def editor(shipped: Shipped, request: pytest.FixtureRequest) -> Iterator[Editor]:
    assert request.config.cache is not None
    try:
        program = install(request.config.cache.mkdir("npm"))
    except NotInstalledError as reason:
        pytest.skip(str(reason))
    editor = Editor(program, shipped.root)
    yield editor
    editor.close()


@pytest.fixture
def file(shipped: Shipped) -> Path:
    """A new experiment, which is on no disk yet."""
    return shipped.root / "configs" / "experiments" / "new.yaml"


def test_it_says_where_the_schema_is_and_how_an_editor_reads_it(shipped: Shipped) -> None:
    assert shipped.said.splitlines()[-1] == (
        f"build/schema.json holds the keys of {SHIPPED} experiments; an editor reads it where a file begins with "
        "`# yaml-language-server: $schema=../../build/schema.json`"
    )


def test_the_same_keys_make_the_same_bytes_in_every_process(shipped: Shipped, schema: dict[str, Any]) -> None:
    assert (shipped.root / "build" / "schema.json").read_bytes() == canonical_json(schema)


def test_the_shipped_configs_are_without_a_mark(shipped: Shipped, editor: Editor) -> None:
    for path in sorted(shipped.root.glob("configs/**/*.yaml")):
        assert editor.open(path, path.read_text()) == [], path


def test_mistakes_are_marked_where_they_are_and_told_one_by_one(editor: Editor, file: Path) -> None:
    text = f"""\
{HEADER}schduler: null
run: {{sede: 1, precision: fp8}}
trainer:
  _type_: trainer.defualt
loss:
  fn: mse
data:
  _type_: data.constant_regression
  valu: 1.0
  batch_size: many
optimizer:
  type: optim_cls.SGD
  kwargs: {{betas: [0.9, 0.9]}}
callbacks:
  _merge_: apend
  _value_: []
loggers:
  - every_n_steps: 3
metrics: {{_type_: metric.torchmetrics}}
model:
  graph:
    modules:
      head: {{_type_: nn.Liner}}
    steps:
      - {{call: module:head, args: [$x]}}
      - {{call: op:ad, out: y}}
"""
    marks = [
        (mark["range"]["start"]["line"], mark["range"]["start"]["character"], mark["message"])
        for mark in editor.open(file, text)
    ]
    assert sorted(marks) == [
        (1, 0, UNKNOWN_SECTION),
        (2, 6, "Property sede is not allowed."),
        (2, 26, 'Value is not accepted. Valid values: "fp32", "bf16-mixed", "fp16-mixed", "bf16", null.'),
        (4, 10, UNKNOWN_TRAINER),
        (6, 6, "This is built by a component: a spec such as `{_type_: ...}`."),
        (9, 2, "Property valu is not allowed."),
        (10, 14, 'Incorrect type. Expected "integer".'),
        (13, 11, "Property betas is not allowed."),
        (15, 11, 'Value is not accepted. Valid values: "replace", "append", "prepend", "keyed".'),
        (18, 4, "A component says what it is: `_type_` names its key."),
        (19, 9, "`metrics` is a list of specs: `[{_type_: metric.*}, ...]`."),
        (23, 21, UNKNOWN_KEY),
        (25, 8, 'Missing property "out".'),
        (26, 15, UNKNOWN_CALL),
    ]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        (
            "trainer:\n  _type_: ",
            ["trainer.adversarial", "trainer.default", "trainer.flow_matching", "trainer.verbose"],
        ),
        ("data:\n  _type_: data.c", ["data.constant_regression"]),
        ("loss:\n  fn: {_type_: nn.Huber", ["nn.HuberLoss"]),
        ("run:\n  precision: ", ["bf16", "bf16-mixed", "fp16-mixed", "fp32"]),
        ("optimizer:\n  type: optim_cls.Adam", ["optim_cls.Adam", "optim_cls.AdamW", "optim_cls.Adamax"]),
        ("model:\n  graph:\n    steps:\n      - call: op:a", ["op:add"]),
        ("trainer:\n  _type_: trainer.default\n  max", ["max_epochs", "max_steps", "max_time"]),
    ],
)
def test_keys_keywords_and_values_are_offered(editor: Editor, file: Path, text: str, offered: list[str]) -> None:
    editor.open(file, HEADER + text)
    lines = (HEADER + text).splitlines()
    found = editor.at("completion", file, len(lines) - 1, len(lines[-1]))["items"]
    typed = lines[-1].rpartition(" ")[2]

    assert sorted(item["label"] for item in found if item["label"].startswith(typed)) == offered


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("trainer: {_type_: trainer.default}", "trainer.default", "Train with gradient accumulation and clipping"),
        ("trainer: {grad_clip_norm: 1.0}", "grad_clip_norm", "bounds the global L2 norm of the gradients"),
        ("loss: {fn: {_type_: nn.MSELoss, reduction: sum}}", "reduction", "Specifies the reduction to apply"),
        ("trainer: {max_epochs: 1}", "max_epochs", "Type: integer or null."),
        ("data: {_type_: data.constant_regression}", "constant", "whose targets"),
        ("trainer: {}", "trainer", "The loop that trains"),
    ],
)
def test_hovering_shows_the_docstring(editor: Editor, file: Path, text: str, place: str, said: str) -> None:
    editor.open(file, HEADER + text)
    hover = editor.at("hover", file, 1, text.rindex(place) + 1)

    assert said in hover["contents"]["value"].replace("\\", "")


def test_a_large_config_is_no_more_than_the_server_can_take(editor: Editor, file: Path) -> None:
    layer = "      - {_type_: nn.Linear, in_features: 8, out_features: 8}\n"
    text = f"{HEADER}model:\n  sequential:\n    layers:\n{layer * 400}"

    assert editor.open(file, text) == []
    assert "linear transformation" in editor.at("hover", file, 4, layer.index("nn."))["contents"]["value"]
