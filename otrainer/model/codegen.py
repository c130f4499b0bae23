"""From a program to a plain `nn.Module` class whose forward is ordinary Python, written by `torch.fx`.

Every node of the fx graph has in its `meta` what it came from: the `node` of the program and the `value` that it holds,
both as far as there is one.
"""

from __future__ import annotations

import hashlib
import linecache
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from torch import fx

from otrainer.model.generated import GeneratedModel
from otrainer.model.ir import Arg, Items, Node, Pairs, Picks, Program, Ref
from otrainer.storage import process_memory

if TYPE_CHECKING:
    from otrainer.model.ir import Default, ModelIR

Ops = Mapping[str, Callable[..., Any]]
Classes: TypeAlias = WeakValueDictionary[tuple[object, ...], type[GeneratedModel]]

FILE = "<otrainer model "  # what the names of generated sources begin with
ASSIGNED = re.compile(r"\s*(\w+)(?: : [^=]+)? = ")

_lock = Lock()


def model_class(program: Program, ops: Ops) -> type[GeneratedModel]:
    """Return the class whose forward runs `program` with these `ops`; the same one for the same program and functions.

    Programs are told apart by their text, since `==` holds 1, 1.0 and True for the same.
    """
    used = {name: ops[name] for name in program.ops}
    key = (repr(program), *map(id, used.values()))
    with _lock:
        classes: Classes = process_memory.get("model_classes", WeakValueDictionary)
        found = classes.get(key)
        if found is None:
            found = classes[key] = make_class(program, used)
    return found


def make_class(program: Program, ops: dict[str, Callable[..., Any]]) -> type[GeneratedModel]:
    """Make a class for `program`; its source is known to tracebacks and debuggers."""
    written = write_graph(program, ops).python_code("self")
    code = written.src.strip() + "\n"
    scope = {name: value.fn if isinstance(value, Stub) else value for name, value in written.globals.items()}
    scope["__name__"] = __name__
    exec(compile(code, remember(code), "exec"), scope)  # noqa: S102 - our own text, from names checked by the compiler
    body = {"forward": scope["forward"], "program": program, "ops": ops, "code": code, "__module__": __name__}
    return type("Model", (GeneratedModel,), {**body, "__reduce__": reduced})


def reduced(model: GeneratedModel) -> tuple[Any, ...]:
    """Return what a pickle holds: the program and its ops instead of the class, which exists in this process alone."""
    return blank, (model.program, dict(model.ops)), model.__dict__


def blank(program: Program, ops: Ops) -> GeneratedModel:
    """Return a model of the class for `program` with nothing in it yet, for unpickling to fill."""
    cls = model_class(program, ops)
    return cls.__new__(cls)


def remember(code: str) -> str:
    """Let `linecache` find `code` under a file name, which is returned and the same for the same text."""
    name = f"{FILE}{hashlib.sha256(code.encode()).hexdigest()[:12]}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    return name


class Stub:
    """Stands for a function while its call is written: fx wants a name, which partial and callable objects lack.

    fx joins module and name into the global's name, so the op `cat` is written `op_cat`.
    """

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__ = self.__qualname__ = name.replace("-", "_").replace(".", "_")
        self.__module__ = "op"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)


def unpack(value: Any, count: int) -> Any:
    """`value` if it has `count` parts, as a Python assignment to so many names would check."""
    if len(value) != count:
        raise ValueError(f"{len(value)} values were returned where `out` names {count}")
    return value


def write_graph(program: Program, ops: Ops) -> fx.Graph:
    """Write the program in fx's terms; fx frees each value after its last use and keeps names clear of Python's."""
    graph = fx.Graph()
    defaults = dict(program.defaults)
    values = {name: hold(placeholder(graph, name, defaults), name) for name in program.inputs}
    stubs = {name: Stub(name, ops[name]) for name in program.ops}
    for node in program.nodes:
        write_node(graph, node, values, stubs)
    graph.output(returned(program, values))
    return graph


def placeholder(graph: fx.Graph, name: str, defaults: Mapping[str, Default]) -> fx.Node:
    """Write an input, with its default where it may be left out."""
    return graph.placeholder(name, default_value=defaults[name]) if name in defaults else graph.placeholder(name)


def hold(written: fx.Node, value: str, node: Node | None = None) -> fx.Node:
    """Let an fx node remember which of the program's values it holds, and which call gave it."""
    written.meta |= {"value": value, "node": node}
    return written


def returned(program: Program, values: Mapping[str, fx.Node]) -> Any:
    pairs = [(key, values[name]) for key, name in program.outputs]
    if program.returns == "dict":
        return dict(pairs)
    return tuple(value for _, value in pairs) if program.returns == "tuple" else pairs[0][1]


def write_node(graph: fx.Graph, node: Node, values: dict[str, fx.Node], stubs: Mapping[str, Stub]) -> None:
    args = tuple(fx_arg(arg, values) for arg in node.args)
    kwargs = {key: fx_arg(arg, values) for key, arg in node.kwargs}
    method = "call_module" if node.kind == "module" else "call_function"
    target: Any = node.target if node.kind == "module" else stubs[node.target]
    name = node.out if isinstance(node.out, str) else node.name
    result = hold(graph.create_node(method, target, args, kwargs, name=name), name, node)
    if isinstance(node.out, str):
        values[node.out] = result
    elif isinstance(node.out, Picks):
        for picked, key in node.out.pairs:
            part = graph.create_node("call_function", operator.getitem, (result, key), name=picked)
            values[picked] = hold(part, picked, node)
    else:
        unpacking = Stub("unpack", unpack)
        parts = graph.create_node("call_function", unpacking, (result, len(node.out)), name=f"{node.name}_parts")
        hold(parts, node.name, node)
        for index, name in enumerate(node.out):
            if name == "_":  # nobody reads it
                continue
            part = graph.create_node("call_function", operator.getitem, (parts, index), name=name)
            values[name] = hold(part, name, node)


def fx_arg(arg: Arg, values: Mapping[str, fx.Node]) -> Any:
    if isinstance(arg, Ref):
        return values[arg.name]
    if isinstance(arg, Items):
        return [fx_arg(item, values) for item in arg.items]
    if isinstance(arg, Pairs):
        return {key: fx_arg(item, values) for key, item in arg.pairs}
    return arg


@dataclass(frozen=True)
class Line:
    """One line: the number of its node among the program's, and the values that it takes, each with its local name."""

    number: int
    takes: dict[str, str]

    def node(self, ir: ModelIR) -> Node:
        """Return the node with the places of the config that `ir` was compiled from."""
        return ir.program.nodes[self.number]


def line_of(model: type[GeneratedModel], lineno: int) -> Line | None:
    """Return what line `lineno` (from 1) of `model.code` calls; None where it calls nothing, as its last does."""
    match = ASSIGNED.match(model.code.splitlines()[lineno - 1])
    written = {each.name: each for each in write_graph(model.program, model.ops).nodes}
    found = written.get(match[1]) if match else None
    if found is None or found.meta["node"] is None:
        return None
    number = next(at for at, node in enumerate(model.program.nodes) if node is found.meta["node"])
    return Line(number, {taken.meta["value"]: taken.name for taken in found.all_input_nodes})
