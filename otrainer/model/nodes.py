"""One call of a graph: what it calls, with which arguments, and what it names of the result."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from otrainer.config.kinds import kind_of
from otrainer.config.secrets import holds_secret, out_of_place
from otrainer.errors import ConfigError, ConfigPath
from otrainer.model.arguments import misfits
from otrainer.model.ir import Arg, Items, Node, Out, Pairs, Picks
from otrainer.model.section import listed
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.model.ir import ModuleSpec
    from otrainer.model.order import Written
    from otrainer.model.section import Report
    from otrainer.model.values import Values
    from otrainer.registry.core import Registry


def read_node(entry: Written, calls: Calls, values: Values, report: Report) -> Node | None:
    """Return the node that `entry` writes, or None where it calls nothing that there is."""
    args = tuple(read_args(entry.body.get("args"), (*entry.path, "args"), values, report))
    kwargs = tuple(read_kwargs(entry.body.get("kwargs"), (*entry.path, "kwargs"), values, report))
    out = read_out(entry, report)
    called = read_call(entry, calls, report)
    if called is None:
        return None
    method, target = called
    node = Node(entry.name, method, target, args, kwargs, out, entry.path)
    if isinstance(entry.body.get("args") or [], list | tuple) and isinstance(entry.body.get("kwargs") or {}, Mapping):
        check_arguments(node, entry, calls, report)
    return node


def read_call(entry: Written, calls: Calls, report: Report) -> tuple[Literal["module", "op"], str] | None:
    if "call" not in entry.body:
        return None
    place, text = (*entry.path, "call"), entry.body["call"]
    hint = "Write `module:NAME` or `op:NAME`."
    if not isinstance(text, str):
        report.add(f"`call` is a string, not {kind_of(text)}.", place, title="wrong type", hint=hint)
        return None
    method, colon, name = text.partition(":")
    modules, ops = calls.modules, calls.registry.list_ops()
    if method == "module" and colon and (copies := calls.copies_of(name)):
        return one_of_copies(name, copies, entry, report)
    if method == "module" and colon:
        return known("module", name, modules, place, report)
    if method == "op" and colon:
        return known("op", name, ops, place, report)
    last = text.rpartition(":")[2]
    options = [f"module:{module}" for module in modules] + [f"op:{op}" for op in ops]
    near = [option for option in options if option.partition(":")[2] == last] or report.near(text, options)
    report.add(f"`{text}` cannot be called.", place, title="unknown call", near=near, hint=hint)
    return None


def one_of_copies(name: str, copies: int, entry: Written, report: Report) -> tuple[Literal["module", "op"], str] | None:
    """Return the copy of a module that a turn calls: each turn has one of its own."""
    place, turn = (*entry.path, "call"), entry.turn
    if turn is not None and turn.count == copies:
        return "module", f"{name}.{turn.number}"
    message = f"`{name}` repeats: there are `{name}.0` to `{name}.{copies - 1}`."
    if turn is not None:
        message = f"`{name}` has {copies} copies, and what calls it repeats {turn.count} times."
    hint = f"Call one, as in `module:{name}.0`, or each in its turn by `{{repeat: {copies}, of: [...]}}`."
    report.add(message, place, title="unknown module", hint=hint)
    return None


def known(
    method: Literal["module", "op"], name: str, names: Collection[str], place: ConfigPath, report: Report
) -> tuple[Literal["module", "op"], str] | None:
    if name in names:
        return method, name
    near = [f"{method}:{found}" for found in report.near(name, names)]
    hint = "" if near else f"There are {listed(names)}." if names else "This graph has no `modules`: add some."
    message = f"There is no {method} `{name}`."
    if method == "module":
        report.add(message, place, title="unknown module", near=near, hint=hint)
    else:
        report.add(message, place, title="unknown op", near=near, hint=hint)
    return None


def read_args(section: object, path: ConfigPath, values: Values, report: Report) -> Iterator[Arg]:
    for index, item in enumerate(() if section is None else report.sequence(section, path, what="`args`")):
        yield read_arg(item, (*path, index), values, report)


def read_kwargs(section: object, path: ConfigPath, values: Values, report: Report) -> Iterator[tuple[str, Arg]]:
    body: Mapping[Any, Any] = {} if section is None else report.mapping(section, path, what="`kwargs`")
    for name, item in body.items():
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            message, hint = f"`{name}` cannot be the name of an argument.", "Write the name of a Python argument."
            report.add(message, (*path, name), title="invalid name", key=True, hint=hint)
        yield str(name), read_arg(item, (*path, name), values, report)


def read_arg(item: object, path: ConfigPath, values: Values, report: Report) -> Arg:
    """Return an argument with its references looked up; after a finding, None stands for what was wrong."""
    if isinstance(item, str) and holds_secret(item):
        report.extend([out_of_place(path, why="the model's code is written with it")])
        return None
    if isinstance(item, str):
        if item.startswith("$$"):
            return item[1:]
        return values.reference(item, path) if item.startswith("$") else item
    if isinstance(item, list | tuple):
        return Items(tuple(read_arg(part, (*path, index), values, report) for index, part in enumerate(item)))
    if isinstance(item, Mapping):
        if is_spec(item):
            hint = "Put it under `modules` and call it."
            report.add("A node's arguments build nothing.", path, title="spec among arguments", hint=hint)
        return Pairs(tuple((name, read_arg(part, (*path, name), values, report)) for name, part in item.items()))
    if item is None or isinstance(item, bool | int | float):
        return item
    hint = "Write numbers, text, lists and mappings, or `$name` for a value."
    report.add(f"A node's arguments are plain data, not {kind_of(item)}.", path, title="wrong type", hint=hint)
    return None


def read_out(entry: Written, report: Report) -> Out:
    out, place = entry.body.get("out"), (*entry.path, "out")
    if out is None or isinstance(out, str):
        return out or entry.name
    if isinstance(out, list | tuple | Mapping) and not out:
        hint = "Leave it out, or name at least one value."
        report.add("`out` names nothing.", place, title="nothing named", hint=hint)
    if not isinstance(out, Mapping):
        return tuple(str(name) for name in out) if isinstance(out, list | tuple) else entry.name
    for name, key in out.items():
        if not isinstance(key, str | int) or isinstance(key, bool):
            message = f"`{name}` picks a key, which is a string or an integer, not {kind_of(key)}."
            hint = "Write `{NAME: KEY}`, as in `{hidden: last_hidden_state}`."
            report.add(message, (*place, name), title="wrong type", hint=hint)
    return Picks(tuple((str(name), key) for name, key in out.items()))


def check_arguments(node: Node, entry: Written, calls: Calls, report: Report) -> None:
    """Judge the call by the signature of the op or of the module's forward, where one is written down."""
    try:
        function = calls.function_of(node)
    except ConfigError as error:
        report.extend(finding.at_least((*entry.path, "call")) for finding in error.findings)
        return
    if function is not None:
        called = f"{node.kind}:{node.target}"
        report.extend(misfits(function, node.args, dict(node.kwargs), entry.path, called=called))


@dataclass(frozen=True, slots=True)
class Calls:
    """What a graph may call: its modules by name, and the registry's ops."""

    modules: Mapping[str, ModuleSpec]
    registry: Registry

    def copies_of(self, name: str) -> int:
        """Return how many copies there are of a module that repeats; 0 for any other."""
        return next(number for number in count() if f"{name}.{number}" not in self.modules)

    def function_of(self, node: Node) -> Callable[..., Any] | None:
        """Return a function with the signature of what `node` calls; None where only building a module would tell.

        Raises ConfigError where an op cannot be imported.
        """
        return self.registry.get_op(node.target) if node.kind == "op" else self._forward_of(node.target)

    def _forward_of(self, name: str) -> Callable[..., Any] | None:
        spec = self.modules[name].spec
        key = spec.get("_type_") if is_spec(spec) else None
        if not isinstance(key, str) or key not in self.registry.list_modules():
            return None
        try:
            cls = self.registry.get_module(key).target
        except ConfigError:
            return None  # reported where the module is written
        if not isinstance(cls, type) or not issubclass(cls, nn.Module) or cls.__call__ is not nn.Module.__call__:
            return None
        return bound(cls.forward) if inspect.isfunction(cls.forward) else None


def bound(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return a stand-in with the signature that `function` has once it is bound to an instance."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return None

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return function(None, *args, **kwargs)

    stand_in.__signature__ = signature.replace(parameters=parameters[1:])  # type: ignore[attr-defined]
    return stand_in
