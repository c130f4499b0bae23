"""Arguments of ops and modules in a graph: what torch takes is never refused, and what it cannot take is told."""

from __future__ import annotations

import ast
import inspect
import random
import warnings
from pathlib import Path

import pytest
import torch

from otrainer.model.arguments import misfits
from otrainer.model.ir import Items, Ref
from otrainer.model.torch_calls import ALIASES, ways_to_call
from otrainer.registry import build_registry
from otrainer.registry.build.signature import WRONG

DRAWS = 25
STUBS = Path(torch.__file__).parent / "_C/_VariableFunctions.pyi"
TENSORS = {
    "x": torch.ones(2, 3, 4, device="meta"),
    "n": torch.zeros(2, 3, 4, dtype=torch.int64, device="meta"),
    "b": torch.zeros(2, 3, dtype=torch.bool, device="meta"),
    "m": torch.ones(3, 3, device="meta"),
    "v": torch.ones(3, device="meta"),
}
OPS = {name: op for name in build_registry().list_ops() if "." in name for op in [build_registry().get_op(name)]}
PLAIN = (
    0,
    1,
    -1,
    2,
    3,
    0.5,
    True,
    False,
    None,
    "none",
    "tanh",
    "x",
    "floor",
    [0],
    [1, 0],
    [2, 0, 1],
    [3, 4],
    [0.5],
    [],
)


def drawn(chance: random.Random) -> tuple[object, object]:
    """A value as torch is given it, and as a node has it."""
    if chance.random() < 0.45:
        name = chance.choice(list(TENSORS))
        return TENSORS[name], Ref(name)
    if chance.random() < 0.15:
        names = chance.choices(list(TENSORS), k=2)
        return [TENSORS[name] for name in names], Items(tuple(map(Ref, names)))
    value = chance.choice(PLAIN)
    return value, Items(tuple(value)) if isinstance(value, list) else value


def takes(function, args, kwargs) -> bool:
    try:
        function(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever it is, torch does not take these
        return False
    return True


@pytest.mark.parametrize("name", sorted(OPS))
def test_what_torch_takes_is_never_refused(name: str) -> None:
    function, chance = OPS[name], random.Random(name)  # noqa: S311 - it chooses what is tried
    ways = [list(inspect.signature(way).parameters) for way in ways_to_call(function) or (function,)]
    for _ in range(DRAWS):
        args = [drawn(chance) for _ in range(chance.randint(0, 4))]
        names = [each for each in chance.choice(ways)[len(args) :] if chance.random() < 0.5]
        names += [alias for alias in ALIASES if ALIASES[alias] in ways[0] and chance.random() < 0.1]
        kwargs = {each: drawn(chance) for each in names if each != "out"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_taken = takes(function, [value for value, _ in args], {key: value for key, (value, _) in kwargs.items()})
        if is_taken:
            written = [node for _, node in args], {key: node for key, (_, node) in kwargs.items()}
            found = misfits(function, *written, (), called=name)
            if not ways_to_call(function):  # which has annotations of its own, and may take more
                found = [each for each in found if each.title != WRONG]
            assert found == [], (args, kwargs)


def fits(way, count: int, names: list[str]) -> bool:
    try:
        inspect.signature(way).bind(*range(count), **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def forms_of(written: ast.FunctionDef) -> list[tuple[int, list[str]]]:
    """Ways to call an overload of torch's stubs: with what it needs and with everything, by position and by name."""
    own = written.args
    positional = [each.arg for each in own.args]
    needed = positional[: len(positional) - len(own.defaults)]
    named = {each.arg: default for each, default in zip(own.kwonlyargs, own.kw_defaults, strict=True)}
    must = [name for name, default in named.items() if default is None]
    every = [name for name in named if name != "out" or name in must]
    return [(len(needed), must), (len(positional), every), (0, needed + must), (0, positional + every)]


def test_each_overload_in_the_stubs_of_torch_is_taken() -> None:
    for written in ast.parse(STUBS.read_text()).body:
        function = getattr(torch, written.name, None) if isinstance(written, ast.FunctionDef) else None
        ways = ways_to_call(function) if callable(function) else ()
        for count, names in forms_of(written) if ways and not written.name.startswith("_") else ():
            meant = [count, [{"self": "input"}.get(name, name) for name in names]]  # as some stubs have it
            assert any(fits(way, *form) for way in ways for form in ((count, names), meant)), (written.name, names)


def told(findings, call, *args, **kwargs):
    """What is found wrong with a call: its title, its place in the step, and the nearest name or the hint."""
    step = {"call": call, "args": list(args), "kwargs": kwargs, "out": "y"}
    modules = {"fc": {"_type_": "nn.Linear", "_args_": [3, 4]}}
    found = findings({"graph": {"inputs": ["x"], "modules": modules, "steps": [step], "outputs": ["y"]}})
    return [(each.title, each.config_path[4:], *(each.suggestions[:1] or [each.hint])) for each in found]


OF_SUM, LIST = "It takes dim, keepdim, dtype, out.", "Write `[0, 1]` where they are one argument."
NO_TEXT, TWICE = "Write `$x` for the value of that name.", "Leave `dim` out here."


@pytest.mark.parametrize(
    ("call", "args", "kwargs", "expected"),
    [
        ("op:torch.softmax", ["$x"], {"dimm": 1}, ("unknown argument", ("kwargs", "dimm"), "dim")),
        ("op:torch.softmax", ["$x"], {}, ("missing argument", (), "Add `dim: ...`.")),
        ("op:torch.sum", ["$x"], {"kepdim": True}, ("unknown argument", ("kwargs", "kepdim"), "keepdim")),
        ("op:torch.sum", ["$x"], {"nan": 1}, ("unknown argument", ("kwargs", "nan"), OF_SUM)),
        ("op:torch.mean", ["$x"], {"axis": 1, "dim": 1}, ("unknown argument", ("kwargs", "axis"), None)),
        ("op:torch.permute", ["$x", 0, 1], {}, ("too many arguments", ("args", 2), LIST)),
        ("op:torch.topk", ["$x", 2.5], {}, ("wrong type", ("args", 1), "Write `8`, for example.")),
        ("op:torch.softmax", ["$x", 1], {"dim": 1}, ("argument given twice", ("kwargs", "dim"), TWICE)),
        ("op:torch.arange", [3], {"stop": 4}, ("unknown argument", ("kwargs", "stop"), "step")),
        ("op:F.gelu", ["$x"], {"approx": "tanh"}, ("unknown argument", ("kwargs", "approx"), "approximate")),
        ("op:F.max_pool2d", ["$x"], {"kernel": 2}, ("unknown argument", ("kwargs", "kernel"), "kernel_size")),
        ("op:F.softmax", ["x", 1], {}, ("wrong type", ("args", 0), NO_TEXT)),
        ("op:torch.sum", [], {"input": "x"}, ("wrong type", ("kwargs", "input"), NO_TEXT)),
        ("module:fc", ["x"], {}, ("wrong type", ("args", 0), NO_TEXT)),
    ],
)  # fmt: skip
def test_what_torch_does_not_take_is_told_at_its_place(findings, call, args, kwargs, expected) -> None:
    title, place, step = expected
    assert told(findings, call, *args, **kwargs) == [(title, place, step or "It takes dtype, dim, keepdim, out.")]


def test_what_numpy_calls_an_argument_and_what_pools_take_are_no_mistakes(findings) -> None:
    assert told(findings, "op:torch.sum", "$x", axis=1, keepdims=True) == []
    assert told(findings, "op:F.adaptive_avg_pool2d", "$x", 1) == []
    assert told(findings, "op:F.unfold", "$x", kernel_size=[2, 2]) == []


def test_functions_of_torch_under_two_names_are_told_apart() -> None:
    assert torch.dsmm == torch.mm
    assert ways_to_call(torch.dsmm) == ()
    assert len(ways_to_call(torch.mm)) > 1
