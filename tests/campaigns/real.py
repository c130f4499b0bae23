"""Mutations of real pure-Python packages, copied so that they count as local, and components that exercise them."""

from __future__ import annotations

import ast
import importlib.util
import shutil
from collections.abc import Collection
from pathlib import Path

PLUGIN = """\
class Part0:
    def value(self, x):
        from lib_sortedcontainers import SortedDict, SortedList, SortedSet

        items = SortedList([5, x, 1, 9, x * 2, 3], key=lambda v: -v)
        items.update(range(x, x + 9))
        items.discard(x + 2)
        table = SortedDict({k: k * x for k in range(6)})
        table.pop(2)
        chosen = SortedSet([x, 3, 4]) | {7} ^ SortedSet([7, 1])
        return list(items), items.bisect(-x), list(table.irange(1, 4)), table.peekitem(0), list(chosen), items[2:5]


class Part1:
    def value(self, x):
        from lib_packaging.specifiers import SpecifierSet
        from lib_packaging.version import Version, parse

        found = [str(v) for v in sorted(map(Version, ["1.0", f"{x}.0a1", "2!0.1", "1.0.post3", "1.0.dev2"]))]
        return found, [str(v) for v in SpecifierSet(f">=1.{x},!=2.0").filter(["1.1", "1.9", "2.0", "3.0rc1"])], parse("1.2").release


class Part2:
    def value(self, x):
        import lib_pluggy as pluggy

        spec, impl = pluggy.HookspecMarker("p"), pluggy.HookimplMarker("p")

        class Spec:
            @spec(firstresult=False)
            def run(self, value):
                pass

        class One:
            @impl
            def run(self, value):
                return value + 1

        class Two:
            @impl(wrapper=True, tryfirst=True)
            def run(self, value):
                found = yield
                return [each * 2 for each in found]

        manager = pluggy.PluginManager("p")
        manager.add_hookspecs(Spec)
        manager.register(One(), "one")
        manager.register(Two())
        return manager.hook.run(value=x), sorted(name for name, _ in manager.list_name_plugin() if name == "one")


class Part3:
    def value(self, x):
        from lib_jinja2 import Environment

        text = "{% for i in range(n) if i is odd %}{{ loop.index }}:{{ i|string|upper }}{{ ',' if not loop.last }}{% endfor %}{% macro m(a, b=2) %}{{ a + b }}{% endmacro %}{{ m(n) }}{{ {'a': 1}|dictsort }}"
        return Environment(autoescape=True).from_string(text).render(n=x + 4)


class Part4:
    def value(self, x):
        from lib_mpmath import mp

        mp.dps = 20
        return str(mp.sqrt(x) + mp.exp(mp.mpf(x) / 3)), str(mp.quad(lambda t: t**2, [0, x])), str(mp.findroot(mp.cos, x))


def register(registry):
    registry.register_module("plugin0", Part0)
    registry.register_module("plugin1", Part1)
    registry.register_module("plugin2", Part2)
    registry.register_module("plugin3", Part3)
    registry.register_module("plugin4", Part4)
"""
PACKAGES = ("sortedcontainers", "packaging", "pluggy", "jinja2", "mpmath")
COMPARED = {
    ast.Lt: ast.GtE,
    ast.Gt: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}


def copy_packages(folder: Path, without: Collection[str] = ()) -> list[Path]:
    """The packages under names of their own, and the plugin; returned are the files to mutate."""
    files = []
    for name in (each for each in PACKAGES if each not in without):
        origin = importlib.util.find_spec(name).submodule_search_locations[0]
        target = folder / f"lib_{name}"
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__", "tests", "*.so"))
        files += [path for path in sorted(target.rglob("*.py")) if "test" not in path.name]
    (folder / "drive").mkdir()
    (folder / "drive" / "__init__.py").touch()
    (folder / "drive" / "plugin.py").write_text(PLUGIN)
    return files


def mutate(rng, text: str) -> str | None:
    """One small change inside a random statement; None where there is none to make."""
    tree = ast.parse(text)
    spots = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.BinOp | ast.Constant | ast.If | ast.FunctionDef)
    ]
    if not spots:
        return None
    node = rng.choice(spots)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        node.ops[0] = COMPARED[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        node.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += 1
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        node.value = not node.value
    elif isinstance(node, ast.If):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.FunctionDef) and len(node.body) > 1:
        node.body.pop(rng.randrange(len(node.body)))
    else:
        return None
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
