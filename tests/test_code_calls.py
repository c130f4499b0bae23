"""Where otrainer loads what may be more than data, runs text or starts a process: every place, with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "otrainer"
# Modules that are made to load objects, and calls that load objects, run text or start processes.
MODULES = ("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "copyreg", "pickletools", "runpy", "ctypes")
LOADERS = ("torch.load", "numpy.load", "torch.jit.load", "torch.export.load", "torch.package", "torch.hub", "yaml.load")
LOADERS += ("yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pandas.read_pickle", "multiprocessing.Pipe")
RUNNERS = ("eval", "exec", "compile", "__import__", "importlib.import_module", "os.system", "os.popen", "os.fork")
STARTERS = ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output", "os.posix_spawn")
CALLS = (*LOADERS, *RUNNERS, *STARTERS)

ALLOWED = {
    ("__init__.py", "importlib.import_module"): "a name of otrainer's own, on its first use",
    ("components/data/array_files.py", "numpy.load"): "with allow_pickle=False",
    ("components/data/shards.py", "torch.load"): "with weights_only=True",
    ("components/metrics.py", "importlib.import_module"): "torchmetrics, by its name",
    ("components/transforms.py", "importlib.import_module"): "torchvision, by its name",
    (
        "engine/checkpoint/file_format.py",
        "import pickle",
    ): "checkpoints are written by it; of its loading only the error is named",
    ("engine/checkpoint/file_format.py", "import pickletools"): "shortens what was just written",
    ("engine/checkpoint/file_format.py", "torch.load"): "with weights_only=True",
    ("engine/checkpoint/snapshot.py", "import ctypes"): "takes a buffer's memory before it is needed",
    ("engine/starting/files.py", "import pickle"): "of its loading only the error is named",
    ("engine/starting/files.py", "torch.load"): "with weights_only=True",
    ("stages/fit/git_state.py", "subprocess.run"): "git, with words of our own",
    ("model/codegen.py", "compile"): "the forward that the compiler wrote, from names that it checked",
    ("model/codegen.py", "exec"): "the same",
    ("commands/__init__.py", "importlib.import_module"): "a query of otrainer's own",
    ("registry/entries.py", "importlib.import_module"): "what a key stands for, once it is used",
    ("registry/plugins/load.py", "importlib.import_module"): "plugins, once the settings allow them",
    ("registry/build/targets.py", "importlib.import_module"): "targets, once the settings allow them",
    ("tasks/worker/handle.py", "subprocess.Popen"): "this Python, as a worker",
    ("tasks/worker/process.py", "os.fork"): "the worker itself, to share a check, before any code of the user's runs",
    ("tasks/worker/table.py", "importlib.import_module"): "stages, by a table of their modules",
    ("storage/processes.py", "import ctypes"): "lets a worker end with doit",
    ("commands/verify_resume/__init__.py", "subprocess.run"): "this Python, to train a stretch",
}


def names_of(tree: ast.Module) -> dict[str, str]:
    """What imported names stand for, wherever in the module they are bound."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                found[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return found


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def whole_name(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    return f"{whole_name(node.value, names)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def sites_in(text: str) -> Iterator[tuple[str, ast.AST]]:
    """What a source does that is on one of the lists: its name, and the call."""
    tree = ast.parse(text)
    names = names_of(tree)
    for name in imports_of(tree):
        if name.partition(".")[0] in MODULES:
            yield f"import {name}", tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = whole_name(node, names)
            if name in CALLS or name.startswith(("torch.package.", "torch.hub.")):
                yield name, node


@cache
def sites() -> set[tuple[str, str]]:
    return {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, _ in sites_in(path.read_text())
    }


def test_every_place_is_on_the_list_with_its_reason_and_no_other() -> None:
    assert sites() == set(ALLOWED)


AS_DATA = [
    ("engine/checkpoint/file_format.py", "torch.load", "weights_only", True),
    ("components/data/array_files.py", "numpy.load", "allow_pickle", False),
]


@pytest.mark.parametrize(("file", "call", "keyword", "value"), AS_DATA)
def test_what_is_loaded_is_loaded_as_data(file: str, call: str, keyword: str, value: bool) -> None:
    tree = ast.parse((PACKAGE / file).read_text())
    names = names_of(tree)
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and whole_name(each.func, names) == call]
    given = [
        {each.arg: ast.literal_eval(each.value) for each in found.keywords if each.arg == keyword} for found in calls
    ]

    assert given == [{keyword: value}] * len(calls)
    assert calls


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load('x')",
        "from torch import load as look\nlook('x')",
        "import numpy as np\nnp.load('x')",
        "def f():\n    import cloudpickle",
        "from pickle import loads",
        "import torch as t\nt.hub.load('x')",
        "f = eval",
        "from os import system\nsystem('x')",
    ],
)
def test_the_search_finds_them_under_any_name(text: str) -> None:
    assert list(sites_in(text))


def test_nothing_of_otrainer_uses_cloudpickle_or_takes_objects_from_files() -> None:
    """Workers and stages are told by JSON what to do; torch's data workers are torch's own, over its pipes."""
    assert not {name for _, name in sites() if "cloudpickle" in name or "marshal" in name or "shelve" in name}
