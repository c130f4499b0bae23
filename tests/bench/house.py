"""Figures of the package as it stands: rooms, lines, functions, imports and what a training passes through.

`python tests/bench/house.py [ROOT]` reads any checkout, by default its own; what has to run runs in this interpreter.
"""

from __future__ import annotations

import ast
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mutable_globals import mutable_globals
from package_imports import circles, imports, layers, room_of, sources, upward

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
LOADED = "import sys, {module}; print(sum(name.split('.')[0] == 'otrainer' for name in sys.modules))"
ENTERED = """
import sys, threading
entered = set()
def note(frame, event, _):
    code = frame.f_code
    if event == "call" and "/otrainer/" in code.co_filename and not code.co_name.startswith("<"):
        entered.add((code.co_filename, code.co_qualname))
from otrainer.experiment import run_experiment
threading.setprofile(note)
sys.setprofile(note)
run_experiment("configs/experiments/baseline.yaml")
sys.setprofile(None)
print(len(entered), len({file for file, _ in entered}))
"""


def house(root):
    """Yield each figure with its name."""
    files = sources(root)
    texts = {module: path.read_text(encoding="utf-8") for module, path in files.items()}
    trees = {module: ast.parse(text) for module, text in texts.items()}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, FUNCTION)]
    yield "entries at the top", sum(path.name != "__pycache__" for path in (root / "otrainer").iterdir())
    yield "files", len(files)
    kinds = sum((kinds_of_lines(texts[module], trees[module]) for module in files), Counter())
    yield "lines", f"{kinds.total():,} ({', '.join(f'{kind} {count:,}' for kind, count in kinds.items())})"
    yield "lines a file", spread([text.count("\n") for text in texts.values()])
    yield "lines a function, with its docstring", spread([node.end_lineno - node.lineno + 1 for node in functions])
    yield "lines a function's body, without docstring", spread([body_lines(node) for node in functions])
    yield "functions", len(functions)
    yield "functions of more than 5 parameters", sum(len(parameters(node)) > 5 for node in functions)
    graph = imports(root)
    found = circles(graph)
    yield "import circles", f"{len(found)}, of {sum(map(len, found))} modules"
    yield "arrows upward", arrows(root, graph)
    trainer = next(module for module, tree in trees.items() if defines(tree, "DefaultTrainer"))
    yield f"modules of ours loaded by {trainer}", run(root, LOADED.format(module=trainer))
    yield "mutable globals", len(mutable_globals(trees))
    for name, pattern in (("Any", r"\bAny\b"), ("type: ignore", "type: ignore"), ("noqa", "# noqa")):
        yield f"`{name}`", sum(len(re.findall(pattern, text)) for text in texts.values())
    for reach in ("file", "folder"):
        rooms, calls = passed_through(root, files, trees, reach)
        yield f"modules that `train` and its {reach} pass through", f"{rooms}, with {calls} calls"
    entered, modules = run(root, ENTERED).split()
    yield "functions entered by a training", f"{entered} in {modules} modules"


def kinds_of_lines(text, tree):
    """Count the lines of code, of docstrings and comments alone, and blank ones outside of docstrings."""
    told, docs = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            told.add(token.start[0])
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTION)) and ast.get_docstring(node, clean=False) is not None:
            docs |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = text.splitlines()
    blank = sum(not line.strip() and number not in docs for number, line in enumerate(lines, 1))
    return Counter({"code": len(lines) - blank - len(docs | told), "prose": len(docs | told), "blank": blank})


def spread(sizes):
    return f"median {statistics.median(sizes):g}, 95th percentile {statistics.quantiles(sizes, n=20)[-1]:.0f}"


def body_lines(node):
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def parameters(node):
    """List a function's parameters but `self` and `cls`, `*args` and `**kwargs` included."""
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
    return [each.arg for each in every if each.arg not in ("self", "cls")]


def arrows(root, graph):
    """Count imports from a higher room, or another of its layer; by an older test's floors where none is stated."""
    levels = layers((root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    if levels is None:
        tree = ast.parse((root / "tests/test_imports.py").read_text(encoding="utf-8"))
        floors = next(
            each.value for each in tree.body if isinstance(each, ast.Assign) and each.targets[0].id == "FLOORS"
        )
        levels = {room: level for level, rooms in enumerate(ast.literal_eval(floors)) for room in rooms}
    found = upward(graph, {**dict.fromkeys(map(room_of, graph), -1), **levels})
    level = [None for one, other, _ in found if levels.get(room_of(one)) == levels.get(room_of(other))]
    return f"{len(found) - len(level)}, and {len(level)} between rooms of one layer"


def passed_through(root, files, trees, reach):
    """Count the modules of ours whose names the orchestrating functions use, their own included, and the calls to them.

    Orchestrating are `train(plan, ...)` and what it names, directly or not, in its file or folder (a file, at the top).
    """
    home = next(module for module, tree in trees.items() if any(is_train(node) for node in tree.body))
    folder = files[home].parent
    near = {home}
    if reach == "folder" and folder != root / "otrainer":
        near = {module for module, path in files.items() if path.parent == folder}
    names = {module: names_in(trees[module], files) for module in near}
    used, todo, calls = {(home, "train")}, [(home, "train")], 0
    while todo:
        module, name = todo.pop()
        for node in (
            node for each in trees[module].body if getattr(each, "name", "") == name for node in ast.walk(each)
        ):
            if isinstance(node, ast.Name):
                found = names[module].get(node.id, (module, node.id))
                todo += [found] if found[0] in near and found not in used else []
                used.add(found)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                calls += names[module].get(node.func.id, (module,))[0] not in near
    return len({module for module, _ in used}), calls


def is_train(node):
    return isinstance(node, FUNCTION) and node.name == "train" and parameters(node)[:1] == ["plan"]


def names_in(tree, files):
    """Map the names that a module imports from modules of ours to these and their names there."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in files]
    return {alias.asname or alias.name: (node.module, alias.name) for node in nodes for alias in node.names}


def defines(tree, name):
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body)


def run(root, code):
    """Run code with the checkout's package, in a project of what it ships, and return its last line."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("dodo.py", "configs", "extensions"):
            Path(folder, name).symlink_to(root / name)
        environ = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    here = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    for name, figure in house(here):
        print(f"{name:<50} {figure}", flush=True)
