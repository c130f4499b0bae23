"""otrainer's own code: prose and places in the package never count, and what trains always does."""

from __future__ import annotations

import ast
import copy
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from otrainer.fingerprint.messages import KEYWORDS, Uses, last_name, without_messages
from otrainer.fingerprint.scopes import arguments

from .own import (
    PACKAGE,
    TRAINED_BY,
    another,
    constants_in,
    digests_in,
    edits,
    edits_at_once,
    file_of,
    is_text,
    messages_in,
    modules,
    move,
    names_bound,
    reworded,
    targets,
)

TRAINING = [name for name in modules() if name.split(".")[1:2] and name.split(".")[1] in TRAINED_BY]
# Functions some of whose words become a part of messages only; each has such a word still.
HAS_WORDS = {
    "Components", "FunctionFactory", "StdoutLogger", "TableDataset", "activated", "as_output", "build_loaders",
    "build_torch", "check_apart", "check_loss", "check_monitors", "check_name", "check_same_kind", "check_schedule",
    "counting_twice", "different_shapes", "doubled", "field_of", "flaws", "get_path", "gradient_not_finite",
    "holder_of", "known", "loss_of_two", "misfit", "misshapen", "missing_in", "model_misfit", "moved", "no_field",
    "idle", "no_module", "no_sample",
    "not_loadable", "nothing_called", "of_sequences", "one_of_copies", "read_order", "read_out", "refuse_gaps",
    "same_length", "shown", "state_dict", "step_not_finite", "tell_left_out", "tell_never_validated", "trained",
    "unknown_monitor", "unmatched",
}  # fmt: skip
# Only these, which other code than components and the composition root needs, are reached by none of them.
BESIDE = {
    "describe": "makes words of a message", "described": "the same", "listed": "the same",
    "load_trained": "for whoever loads a model",
    "check_fits": "judges a checkpoint before anything is trained", "save_checkpoint": "for whoever writes a trainer",
    "build_model": "for whoever builds a model by hand", "check_model": "judges a model before anything is trained",
    "line_of": "lines of a config for what is told", "model_summary": "the model in words",
    "check_section": "judges a config before anything is trained", "check_rename": "the same",
    "shown": "names in words", "bare": "a dtype, where it is told",
    "blueprint": "a model without numbers, to try out before anything is trained", "Undrawn": "the same",
    "draws": "the same", "Valued": "the same", "empty_like": "the same",
    "Part": "says what others offer", "values_in": "for comparing checkpoints",
    "count_samples": "a batch's size, where it is told", "told": "a value, where it is told",
    "VAL": "judges a checkpoint, after training", "evaluate_checkpoint": "the same", "session_for": "the same",
    "judge_all": "the same", "batches_in": "the same", "Predictions": "the same", "Arrays": "the same",
    "no_split": "the same",
    "rhythm_told": "when a schedule steps, where it is told",
    "workers_call": "has data workers say what they import, to be held against what was validated",
}  # fmt: skip


@pytest.mark.parametrize("module", modules())
def test_rewording_a_message_retrains_nobody(module: str) -> None:
    """Each text that people read is reworded, and every f-string with one said otherwise as a whole.

    Where rewording all of them at once shows nothing, none does; else they are looked at one at a time.
    """
    for way in (edits_at_once, edits):
        shown = [each.place for each in way(module, modules()[module], messages_in, reworded) if each.is_told()]
        if not shown:
            return

    assert shown == []


@pytest.mark.parametrize("module", TRAINING)
def test_another_constant_in_what_trains_counts(module: str) -> None:
    """Each number, truth value and word of each function is changed, one at a time."""
    found = list(edits(module, modules()[module], constants_in, another))
    silent = {name for each in found if not each.shows for name in each.binds}
    unreached = {name for each in found if not each.is_reached() for name in each.binds}

    assert silent <= HAS_WORDS
    assert unreached <= BESIDE.keys()


def test_nearly_everything_is_read_by_these_tests() -> None:
    """Messages and constants are found: some thousand of both."""
    every = [
        node for path in modules().values() for each in ast.parse(path.read_bytes()).body for node in messages_in(each)
    ]
    constants = [
        node
        for name in TRAINING
        for each in ast.parse(modules()[name].read_bytes()).body
        for node in constants_in(each)
    ]

    assert len(every) > 1000
    assert len(constants) > 500


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return digests_in(PACKAGE.parent)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "otrainer", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("improves", "engine.monitor", "engine.logs"),
        ("derive_seed", "engine.seed", "engine.tree"),
        ("LossOutput", "components.loss", "components.io"),
        ("RETURNS", "model.section", "model.ir"),
        ("read_arg", "model.nodes", "model.values"),
        ("mlp", "components.blocks", "components.ops"),
        ("DefaultTrainer", "engine.trainer", "engine.tree"),
    ],
)
def test_moving_a_definition_retrains_nobody(
    own: Path, before: dict[str, str], name: str, source: str, target: str
) -> None:
    """A function, a class, a constant, one of several that lead in a circle, and what a registry's key stands for."""
    old, new = f"otrainer.{source}", f"otrainer.{target}"
    move(own, name, old, new)

    assert digests_in(own, (f"{old}:{name}", f"{new}:{name}")) == before
    for path in own.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize(
    ("old", "new"),
    [("engine.seed", "engine.randomness"), ("model", "net"), ("components", "engine.parts_of_it")],
)
def test_renaming_a_module_retrains_nobody(own: Path, before: dict[str, str], old: str, new: str) -> None:
    """One module, and a whole room that goes elsewhere, with the tables that name its targets."""
    rename(own, old, new)

    assert digests_in(own, (f"otrainer.{old}", f"otrainer.{new}")) == before


def rename(folder: Path, old: str, new: str) -> None:
    package = folder / "otrainer"
    source, target = package.joinpath(*old.split(".")), package.joinpath(*new.split("."))
    (source if source.is_dir() else source.with_suffix(".py")).rename(
        target if source.is_dir() else target.with_suffix(".py")
    )
    for path in package.rglob("*.py"):
        text = re.sub(rf"\botrainer\.{re.escape(old)}\b", f"otrainer.{new}", path.read_text())
        path.write_text(re.sub(rf'"{re.escape(old)}([.:])', rf'"{new}\1', text))


def test_two_definitions_of_one_name_are_told_apart_by_what_they_reach(own: Path, before: dict[str, str]) -> None:
    """Their texts are the same, and all of both is reached anyhow: only what one name in them stands for differs."""
    callbacks = file_of(own, targets()["cb.early_stopping"].partition(":")[0])
    twin = "def chosen(value):\n    return behind(value)\n"
    for name, text in {"one": "return value", "two": "return -value"}.items():
        (own / f"otrainer/engine/{name}.py").write_text(f"def behind(value):\n    {text}\n\n\n{twin}")
    users = (
        "class First:\n    run = first\n\n\nclass Second(First):\n    run = second\n\n\nclass EarlyStopping(Second):"
    )
    text, found = callbacks.read_text(), {before["cb.early_stopping"]}
    for first, second in (("one", "two"), ("two", "one"), ("one", "one")):
        names = {"first": first, "second": second}
        head = "".join(f"from otrainer.engine.{each} import chosen as {name}\n" for name, each in names.items())
        callbacks.write_text(text.replace("class EarlyStopping:", f"{head}\n\n{users}"))
        found.add(digests_in(own)["cb.early_stopping"])

    assert len(found) == 4


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_bytes()) for name, path in modules().items()}


CALLED = {
    "GeneratedModel", "Lock", "Masks", "Module", "Struct", "TypeVar", "WeakValueDictionary", "ascii", "b64encode",
    "bytes_of", "compile", "contextmanager", "cpu_count", "dataclass", "decode", "device", "dir", "dumps", "fields",
    "frozenset", "get_args", "getLogger", "getattr", "hex", "is_optional", "items", "min", "object", "quote",
    "quote_plus", "repr", "runtime_checkable", "tuple", "type", "urlsafe_b64encode", "vars",
}  # fmt: skip


@pytest.mark.parametrize("module", modules())
def test_a_module_that_counts_does_nothing_when_imported_but_define(module: str) -> None:
    """So no import of ours is an effect: what these calls make, they only give a name."""
    called: set[str] = set()
    for node in trees()[module].body:
        names = names_bound(node)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            called |= {last_name(getattr(each, "func", each)) for each in node.decorator_list}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            called |= {last_name(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
            assert all(map(str.isidentifier, filter(None, names))) and len(names) > 1, ast.unparse(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            text = ast.unparse(node)
            assert is_text(getattr(node, "value", None)) or text.startswith(("if TYPE_CHECKING:", "try:\n    import "))

    assert called <= CALLED


def test_what_is_passed_as_a_message_becomes_nothing_else() -> None:
    """Each function that is given a `hint`, say, has it only for messages; one with a `title`, all that it is given."""
    calls = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = {(last_name(call.func), each.arg) for call in calls for each in call.keywords if each.arg in KEYWORDS}
    silent = [without_messages(copy.deepcopy(tree)) for tree in trees().values()]
    found = set()
    for node in (each for tree in silent for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        words = {word for name, word in given if name == node.name}
        parameters = {each.arg for each in arguments(node.args)} - {"self"}
        if words & parameters:
            uses = Uses()
            uses.visit(ast.Module(node.body, []))
            uses.messages()
            assert uses.used.isdisjoint(parameters if "title" in words else words), node.name
            found.add(node.name)

    assert found == {name for name, _ in given} - {"ConfigError", "NotFiniteError", "Finding"}


def test_no_message_draws_reads_or_takes_away() -> None:
    """What stands in an f-string is left out with it, so it must have no effect."""
    texts = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    called = {ast.unparse(each.func) for node in texts for each in ast.walk(node) if isinstance(each, ast.Call)}
    called |= {f".{name.rpartition('.')[2]}" for name in called if "." in name}

    assert called.isdisjoint(
        {".pop", ".popleft", ".popitem", ".append", ".setdefault", ".update", ".read", ".write", ".step"}
    )
    assert not [name for name in called if "rand" in name or "seed" in name or name.endswith("_")]
    assert all("next(iter(" in text for text in map(ast.unparse, texts) if "next(" in text)
