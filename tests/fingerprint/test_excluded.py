"""Of otrainer's own code what decides the training counts by the rule for all code; the rest stands in a table.

A copy of the package is edited, and one process that imports it says which fingerprints changed.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints
from otrainer.fingerprint.excluded import COUNTED, EXCLUDED, is_excluded

from .own import reached

PACKAGE = Path(__file__).parents[2] / "otrainer"
# What each edit changes: by what it is called, a file, a text that stands there once, and another one.
SILENT = {
    "a reworded refusal": ("registry/checks.py", "which cannot be called.", "which nobody can call."),
    "a reworded mistake in a config": ("config/settings.py", "message = ", "message = '' or "),
    "another limit of what may be registered": ("registry/checks.py", "re.ASCII)", "re.ASCII | re.DEBUG * 0)"),
    "a built-in key more": ("registry/builtins.py", '("tensor", ', '("tensor2", "components.tensors:tensor", "value"),\n    ("tensor", '),
    "an op more": ("registry/builtins.py", '"identity")', '"identity", "sub")'),
    "how a mistake is drawn": ("errors.py", "\nfrom typing", "\nimport json as _json\nfrom typing"),
    "how files are written": ("storage/canonical_json.py", "LEVELS = 2", "LEVELS = 3"),
    "how runs are locked": ("storage/held_lock.py", "HOLDER_WAIT_S = 1.0", "HOLDER_WAIT_S = 2.0"),
    "what is told of a failure": ("stages/failures/model_report.py", "input `", "its input `"),
    "what is told": ("commands/why.py", "\nfrom typing", "\nimport json as _json\nfrom typing"),
    "another command": ("tasks/selection.py", "\nfrom typing", "\nimport json as _json\nfrom typing"),
    "a docstring in the trainer": ("engine/epoch_end.py", '"""Validate, on `most` batches, log,', '"""Validate, log,'),
    "a comment in the model's code": ("model/codegen.py", "def make_class", "# As it is\ndef make_class"),
    "how fingerprints are taken": ("fingerprint/names.py", 'WHOLE = "<module>"', 'WHOLE = "<all>"'),
}  # fmt: skip
TELLING = {
    "the trainer's loop": ("engine/gradients.py", "Shares(len(group))", "Shares(len(group) * 1)", {"trainer.default"}),
    "a loss": ("components/loss.py", "self.fn(prediction, target), weight", "self.fn(target, prediction), weight", {"loss.torch"}),
    "what losses share": ("components/io.py", "def pick_one(", "def pick_one(_x=0, *, ", {"loss.torch", "metric.torchmetrics"}),
    "how everything is seeded": ("engine/seed.py", "random.seed(seed)", "random.seed(seed + 1)", {"otrainer", "trainer.default"}),
    "how seeds are derived": ("engine/seed.py", "digest_size=8", "digest_size=16", {"trainer.default", "data.dataset"}),
    "how a model's class is made": ("model/codegen.py", 'return type("Model"', 'return type("Net"', {"otrainer"}),
    "how a model is compiled": ("model/compile.py", "\nfrom otrainer", "\nprint(end='')\nfrom otrainer", {"otrainer"}),
    "in which order parts are built": ("stages/fit/compose.py", 'io=built("io"),', "", {"otrainer"}),
    "under which settings everything is built": ("stages/fit/compose.py", "with numerics(settings):", "if settings:", {"otrainer"}),
    "what deterministic means": ("engine/numerics.py", "cudnn.deterministic = False, True", "cudnn.deterministic = True, True", {"otrainer"}),
    "what a run's settings are by default": ("engine/state.py", "    seed: int = 0", "    seed: int = 1", {"otrainer", "trainer.default"}),
    "how values become parts": ("registry/build/instantiate.py", "return secrets.fill(value)", "return value", {"otrainer"}),
    "how a mean is taken": ("engine/logs.py", "counts = [1.0] * len(rows)", "counts = [2.0] * len(rows)", {"trainer.default"}),
    "how better is told": ("engine/monitor.py", "def improves(", "def improves(_x=0, *, ", {"cb.early_stopping", "cb.model_checkpoint"}),
    "a block": ("components/blocks.py", "def mlp(", "def mlp(_x=0, *, ", {"mlp"}),
    "what a package does when imported": ("engine/__init__.py", "", "import os\nos.environ['OTRAINER'] = '1'\n", {"trainer.default", "otrainer"}),
}  # fmt: skip
INSIDE = """
import json, sys
from pathlib import Path
from otrainer.registry import build_registry
from otrainer.fingerprint import Fingerprints, named
from otrainer.registry.usage import COMPOSITION_ROOT
folder = Path(sys.argv[1]) / "otrainer"
registry = build_registry()
targets = {key: ":".join(named(registry.get_module(key).factory)) for key in registry.list_modules()}
targets |= {f"op:{key}": ":".join(named(registry.op_entry(key).factory)) for key in registry.list_ops()}
targets["otrainer"] = COMPOSITION_ROOT
def digests():
    prints = Fingerprints()
    return {key: prints.symbol(target).digest for key, target in targets.items()}
before, changed = digests(), {}
assert "torch" not in sys.modules and "otrainer.registry" in sys.modules
assert Fingerprints().file_of("otrainer.experiment") == folder / "experiment.py"
def edit(name, old, new):
    path = folder / name
    text = path.read_text()
    if old not in text:
        return ["no such text"]
    edited = text.replace(old, new, 1) if old else text + new
    compile(edited, name, "exec")
    path.write_text(edited)
def changes():
    after = digests()
    return sorted(key for key in before if after[key] != before[key])
texts = {path: path.read_text() for path in folder.rglob("*.py")}
def restore():
    for path, text in texts.items():
        if path.read_text() != text:
            path.write_text(text)
together, each = json.loads(sys.stdin.read())
changed |= {what: edit(*row) or [] for what, row in together.items()}
if changes():  # of one of them, which is to be found
    each |= together
restore()
for what, row in each.items():
    changed[what] = edit(*row) or changes()
    restore()
assert digests() == before
print(json.dumps([changed, sorted(before)]))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], list[str]]:
    """Which fingerprints each edit changes, and all there are; those that should change none are made at once."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "otrainer", ignore=shutil.ignore_patterns("__pycache__"))
    edits = [{what: [*row[:3]] for what, row in rows.items()} for rows in (SILENT, TELLING)]
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, str(folder)],
        input=json.dumps(edits),
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    changed, keys = json.loads(done.stdout)
    return changed, keys


@pytest.mark.parametrize("what", SILENT)
def test_what_decides_nothing_of_the_training_retrains_nothing(found, what: str) -> None:
    assert found[0][what] == []


@pytest.mark.parametrize("what", TELLING)
def test_what_decides_the_training_counts_for_those_who_reach_it(found, what: str) -> None:
    assert TELLING[what][3] <= set(found[0][what])


def test_a_change_of_one_component_leaves_the_others_alone(found) -> None:
    changed, keys = found

    assert changed["a loss"] == ["loss.torch"]
    assert changed["a block"] == ["mlp"]
    assert changed["the trainer's loop"] == ["trainer.default"]
    assert len(keys) > 100


@pytest.mark.parametrize("entry", [*EXCLUDED, *COUNTED])
def test_every_row_stands_for_something_that_exists_and_says_why(entry: str) -> None:
    path = PACKAGE.joinpath(*entry.split(".")[1:])

    assert path.is_dir() or path.with_suffix(".py").is_file()
    assert EXCLUDED.get(entry) or COUNTED[entry]


@pytest.mark.parametrize("entry", [*EXCLUDED, *COUNTED])
def test_no_row_says_what_one_above_it_says(entry: str) -> None:
    assert (entry in EXCLUDED) == is_excluded(entry) != is_excluded(entry.rpartition(".")[0])
    assert not (entry in EXCLUDED and entry in COUNTED)


def test_nothing_but_what_the_table_names_is_excluded() -> None:
    assert is_excluded("otrainer.config")
    assert is_excluded("otrainer.config.load")
    assert is_excluded("otrainer.registry.build.signature")
    assert not is_excluded("otrainer.registry.build.spec")
    assert not is_excluded("otrainer.engine.seed")
    assert not is_excluded("otrainer.configuration")
    assert not is_excluded("otrainer_plugins.errors")
    assert not is_excluded("plug.otrainer.errors")


MAY_TRAIN = ("torch", "random", "numpy")
# Of these rooms, which try a model out, show it and judge a failure, what trains needs no more than this.
BESIDE = {"otrainer.stages", "otrainer.commands"}
NEEDED = {"otrainer.stages.checks:COMPONENTS", "otrainer.stages.failures:Origins"}


@pytest.mark.parametrize("entry", [entry for entry in EXCLUDED if entry not in BESIDE])
def test_what_is_excluded_computes_with_no_tensor_and_draws_no_number(entry: str) -> None:
    """A module that imports torch or random when it is imported could have a say in what is trained."""
    locator = Fingerprints().sources.locator
    names = locator.all_modules(entry) if locator.is_package(entry) else [entry]
    files = [locator.source(name) for name in names if is_excluded(name)]
    trees = [ast.parse(file.read_bytes()) for file in files if file is not None]
    imported = {alias.partition(".")[0] for tree in trees for node in ast.walk(tree) for alias in names_of(node)}

    assert trees
    assert imported.isdisjoint(MAY_TRAIN)


def test_what_trains_needs_nothing_of_stages_and_commands_but_this() -> None:
    graph = Fingerprints().graph
    used = {
        ":".join(each)
        for module, _, name in (symbol.partition(":") for symbol in reached())
        for number in graph.bindings(module).get(name, ())
        for chain in graph.statements(module)[number].reads
        for each in graph.follow(module, graph.statements(module)[number], chain, outside=True)
        if any(each[0].startswith(room) for room in BESIDE) and is_excluded(each[0]) and each[1] != "<import>"
    }

    assert {each for each in used if not graph.is_imported(*each.split(":"))} == NEEDED


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
