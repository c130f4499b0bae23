"""`doit audit` lists every callable that a config reaches with its place and code, and imports none of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from incremental.steps import edit, write
from trained import A, ask, listing, train

from otrainer.commands import audit as audit_module
from otrainer.fingerprint.unfollowed import ENVIRONMENT, PROCESS, UNFOLLOWED
from otrainer.registry import build_registry
from otrainer.registry.static_source import Finder
from otrainer.tasks.runner import DOING
from otrainer.tasks.selection import QUERIES


def report(root: Path, *names: str, **variables: str) -> str:
    outcome = ask("audit", root, *(names or ("a",)), **variables)
    assert outcome.status == "ok", outcome.report
    return outcome.report


def rows(root: Path) -> list[dict[str, Any]]:
    (found,) = json.loads(report(root, FORMAT="json"))
    assert found["refused"] == []
    return found["callables"]


def by_name(root: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows(root)}


def test_the_list_in_words(root: Path) -> None:
    text = re.sub(r"\b[0-9a-f]{12}\b", "FINGERPRINT", report(root))
    text = re.sub(r"(otrainer/[a-z_/]+\.py|torch/nn/[a-z/]+\.py|torch/optim/[a-z/]+\.py):\d+", r"\1:LINE", text)
    lines = [re.sub(" {2,}", "  ", line).strip() for line in re.sub(r"torch \d\S*", "torch VERSION", text).splitlines()]

    assert lines == [
        "a reaches these 15:",
        "run by doit itself",
        "dodo.py  dodo.py:1  FINGERPRINT",
        "puts an experiment together",
        "otrainer  otrainer/stages/fit/compose.py:LINE  FINGERPRINT",
        "imported as plugins",
        "extensions.parts  extensions/parts.py:1  FINGERPRINT",
        "extensions.parts:register  extensions/parts.py:61  FINGERPRINT",
        "imported by these",
        "extensions  extensions/__init__.py:1  does nothing",
        "extensions.helper  extensions/helper.py:1  FINGERPRINT",
        "installed packages that these import",
        "torch  torch/__init__.py:1  torch VERSION",
        "components",
        "cb.model_checkpoint  otrainer/components/callbacks/model_checkpoint.py:LINE  FINGERPRINT",
        "data.listed  extensions/parts.py:18  FINGERPRINT",
        "io.mapping  otrainer/components/io.py:LINE  FINGERPRINT",
        "loss.counted  extensions/parts.py:39  FINGERPRINT",
        "optim_cls.AdamW  torch/optim/adamw.py:LINE  torch VERSION",
        "optim_factory.torch  otrainer/components/optim.py:LINE  FINGERPRINT",
        "trainer.default  otrainer/engine/trainer.py:LINE  FINGERPRINT",
        "modules and ops of the model",
        "nn.Linear  torch/nn/modules/linear.py:LINE  torch VERSION",
        "",
        *audit_module.BEYOND.splitlines(),
    ]


def test_fingerprints_are_those_that_decide_on_a_training(root: Path) -> None:
    found, validated = by_name(root), json.loads((root / "build/a/validated.json").read_text())
    for row in validated["code"]:
        assert (found[row["key"]]["target"], found[row["key"]].get("fingerprint", row["fingerprint"])) == (
            row["target"],
            row["fingerprint"],
        )
    assert {row["key"] for row in validated["code"]} <= set(found)


def test_every_place_is_the_line_of_the_definition(root: Path) -> None:
    for row in rows(root):
        name = row.get("target", "").partition(":")[2].rpartition(".")[2]
        file = next(
            path for path in (root / row["file"], *(Path(entry) / row["file"] for entry in sys.path)) if path.is_file()
        )
        line = file.read_text().splitlines()[row["line"] - 1] if name else ""
        assert not name or re.match(rf"(class|def) {name}\b", line), row


def test_the_place_of_every_built_in_key_is_found_without_importing_it() -> None:
    registry, finder = build_registry(), Finder()
    targets = {key: str(registry.get_module(key).factory).split(":") for key in registry.list_modules()}

    assert [key for key, (module, name) in targets.items() if finder.find(module, name) is None] == []


def test_asking_imports_runs_and_writes_nothing(root: Path) -> None:
    write("extensions/parts.py", "open('ran', 'w')\n" + (root / "extensions/parts.py").read_text())(root)
    before, listed = set(sys.modules), listing(root)
    assert "loss.counted" in by_name(root)

    assert not {name for name in set(sys.modules) - before if not name.startswith("otrainer.")}
    assert not (root / "ran").exists()
    assert listing(root) == listed


def test_of_refused_imports_nothing_is_listed_or_looked_into(root: Path) -> None:
    edit(A, "run:", "settings: {allow_imports: false}\nrun:")(root)
    outcome = ask("audit", root, "a", FORMAT="json")

    assert outcome.status == "failed"
    assert "The settings allow no imports." in outcome.drawn


def test_the_rest_is_listed_all_the_same(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(A, "run:", "settings: {allowed_import_prefixes: [otrainer.]}\nrun:")(root)
    outcome = ask("audit", root, "a")
    shown = capsys.readouterr().out

    assert "`extensions.parts` is under no allowed prefix." in outcome.drawn
    assert shown.startswith("a reaches these 8; parts of it are refused:\n")
    assert "extensions" not in shown
    assert "trainer.default" in shown


def test_targets_are_listed_where_they_are_allowed_and_refused_elsewhere(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(A, "run:", "params: {}\nmetrics: [{_target_: extensions.helper.Base}, {_target_: os.system}]\nrun:")(root)
    off = ask("audit", root, "a").drawn
    assert "The target `extensions.helper.Base` is switched off by the settings." in off
    edit(A, "params: {}", "settings: {allow_target: true, allowed_import_prefixes: [otrainer., extensions.]}")(root)
    capsys.readouterr()
    on = ask("audit", root, "a").drawn

    assert "The target `os.system` is under no allowed prefix." in on
    assert re.search(
        r"targets\n +extensions\.helper\.Base +extensions/helper\.py:11 +[0-9a-f]{12}\n", capsys.readouterr().out
    )


IMPL = "extensions/impl.py:2"
REGISTERS = {
    "a name that is imported": (
        "from .impl import Loss\ndef register(r):\n    r.register_module('loss.x', Loss)\n",
        IMPL,
    ),
    "a name that register imports": (
        "def register(r):\n    from extensions import impl\n    r.register_module('loss.x', impl.Loss)\n",
        IMPL,
    ),
    "a text": (
        "def register(r):\n    r.register_module('loss.x', 'extensions.impl:Loss')\n",
        IMPL,
    ),
    "a name by star": (
        "from .impl import *\ndef register(r):\n    r.register_module(name='loss.x', factory=Loss)\n",
        IMPL,
    ),
    "a register from elsewhere": (
        "from .impl import register\n",
        IMPL,
    ),
    "something computed": (
        "from .impl import Loss\ndef register(r):\n    r.register_module('loss.x', max(Loss, Loss))\n",
        "extensions/x.py:3",
    ),
    "a computed key": (
        "from .impl import Loss\ndef register(r):\n    for n in 'x':\n        r.register_module(f'loss.{n}', Loss)\n",
        "extensions/x.py:2",
    ),
}


@pytest.mark.parametrize("how", REGISTERS)
def test_what_a_plugin_registers_is_found_in_its_source(root: Path, how: str) -> None:
    text, place = REGISTERS[how]
    write("extensions/impl.py", "\nclass Loss: ...\ndef register(r):\n    r.register_module('loss.x', Loss)\n")(root)
    write("extensions/x.py", text)(root)
    write("configs/experiments/x.yaml", "defaults: [a.yaml]\nimports: [extensions.parts, extensions.x]\n"
          "loss: {_merge_: replace, _value_: {_type_: loss.x}}\n")(root)  # fmt: skip
    (found,) = json.loads(report(root, "x", FORMAT="json"))
    (row,) = [row for row in found["callables"] if row["name"] == "loss.x"]

    assert f"{row['file']}:{row['line']}" == place
    assert len(row["fingerprint"]) == 64


def test_what_plain_arguments_name_is_listed(root: Path) -> None:
    text = "{_type_: metric.torchmetrics, metric: classification.MulticlassAccuracy, kwargs: {num_classes: 2}}"
    edit(A, "run: {", f"metrics: [{text}]\nrun: {{compile: true, ")(root)
    named = {row["name"]: row for row in rows(root) if row["kind"] == "named by an argument"}

    assert named["torchmetrics.classification.MulticlassAccuracy"]["file"] == "torchmetrics/classification/accuracy.py"
    assert named["torch.compile"]["file"] == "torch/__init__.py"


def test_an_unknown_key_is_an_error_at_its_place(root: Path) -> None:
    edit(A, "run:", "trainer: {_type_: trainer.defualt}\nrun:")(root)
    outcome = ask("audit", root, "a")

    assert outcome.status == "failed"
    assert "Did you mean `trainer.default`?" in outcome.drawn
    assert f"{A}:3:19" in outcome.drawn


def test_it_can_be_read_at_80_columns(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "width", lambda: 80)
    write("extensions/with_a_name_that_is_rather_long.py", "def register(registry): pass\n")(root)
    edit(A, "run:", "imports: [extensions.parts, extensions.with_a_name_that_is_rather_long]\nrun:")(root)

    assert max(map(len, report(root).splitlines())) <= 80


def test_the_same_bytes_come_out_each_time_and_several_experiments_follow_each_other(root: Path) -> None:
    assert report(root) == report(root)
    write("configs/experiments/other.yaml", "defaults: [a.yaml]\n")(root)
    assert report(root, "a", "other").count(" reaches these ") == 2


def test_what_a_failing_question_was_doing_can_be_said_of_each() -> None:
    assert set(QUERIES) <= set(DOING)


READING = """\
import os
import subprocess


def both():
    return os.getenv("HIDDEN"), subprocess.run(["tool"])


class One:
    def __call__(self, **given):
        return both()


class Two(One):
    def spare(self):
        return os.system("spare")


class Unused:
    def __call__(self):
        return os.getenv("UNUSED")


def register(r):
    r.register_module("loss.one", One)
    r.register_module("cb.two", Two)
    r.register_module("cb.unused", Unused)
"""
NOTES = [
    f"`extensions/reading.py:6` uses the environment variable `HIDDEN`: {UNFOLLOWED[ENVIRONMENT]}.",
    f"`extensions/reading.py:6` uses `subprocess.run`: {UNFOLLOWED[PROCESS]}.",
    f"`extensions/reading.py:16` uses `os.system`: {UNFOLLOWED[PROCESS]}.",
]


def with_notes(root: Path) -> None:
    write("extensions/reading.py", READING)(root)
    write("configs/experiments/x.yaml", "defaults: [a.yaml]\nimports: [extensions.parts, extensions.reading]\n"
          "loss: {_merge_: replace, _value_: {_type_: loss.one}}\n"
          "callbacks: {_merge_: append, _value_: [{_type_: cb.two}]}\n")(root)  # fmt: skip


def test_what_is_not_followed_is_told_once_with_its_line_and_who_reaches_it(root: Path) -> None:
    """In the words of `doit why`; what only components that are not used here reach is left out."""
    with_notes(root)
    lines = report(root, "x").partition("\n  not followed by these\n")[2].partition("\n\n")[0].splitlines()

    assert lines == [
        f"    {NOTES[0]}",
        "      by cb.two, loss.one",
        f"    {NOTES[1]}",
        "      by cb.two, loss.one",
        f"    {NOTES[2]}",
        "      by cb.two",
    ]


def test_what_is_not_followed_stands_in_the_document_with_file_and_line(root: Path) -> None:
    with_notes(root)
    (found,) = json.loads(report(root, "x", FORMAT="json"))

    both = ["cb.two", "loss.one"]
    assert found["not_followed"] == [
        {"file": "extensions/reading.py", "line": 6, "text": NOTES[0], "by": both},
        {"file": "extensions/reading.py", "line": 6, "text": NOTES[1], "by": both},
        {"file": "extensions/reading.py", "line": 16, "text": NOTES[2], "by": ["cb.two"]},
    ]


def test_the_words_are_those_of_why(root: Path) -> None:
    with_notes(root)
    train(root, "x", stages="resolve manifest validate")
    why = ask("why", root, "x").report

    assert [note for note in NOTES if f"    {note}\n" not in f"{why}\n"] == []


def test_what_somebody_left_in_build_hides_no_note(root: Path) -> None:
    """The list is asked for before a project is trusted, whose `build` may say that everything was seen."""
    with_notes(root)
    train(root, "x", stages="resolve manifest validate")
    before = report(root, "x")
    path = root / "build/x/manifest.json"
    manifest = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps({**manifest, "seen": ["extensions/reading.py:6", "extensions/reading.py:16"]}))

    assert "environment variable `HIDDEN`" in before
    assert report(root, "x") == before


def test_the_caller_s_environment_changes_nothing_of_the_list(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_notes(root)
    before = report(root, "x")
    monkeypatch.setenv("HIDDEN", "1")

    assert report(root, "x") == before


def test_notes_can_be_read_at_80_columns_and_end_in_no_control_character(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "width", lambda: 80)
    with_notes(root)
    write("extensions/reading.py", READING.replace('"HIDDEN"', r'"HID\x1b[2JDEN"'))(root)
    text = report(root, "x")

    assert max(map(len, text.splitlines())) <= 80
    assert "environment variable `HID" in text
    assert "\x1b" not in text


def test_a_dotted_name_that_a_component_imports_is_listed_with_its_notes(root: Path) -> None:
    (root / "mine").mkdir()
    write("mine/scale.py", "import os\n\n\ndef factor():\n    return os.getenv('SCALE')\n")(root)
    with_notes(root)
    edit("configs/experiments/x.yaml", "{_type_: loss.one}", "{_type_: loss.one, by: mine.scale.factor}")(root)
    (found,) = json.loads(report(root, "x", FORMAT="json"))
    (row,) = [row for row in found["callables"] if row["name"] == "mine.scale.factor"]

    assert (row["kind"], row["file"], row["line"]) == ("named by an argument", "mine/scale.py", 4)
    assert {"file": "mine/scale.py", "line": 5, "by": ["mine.scale.factor"]}.items() <= found["not_followed"][
        -1
    ].items()
