"""The three ways of writing a graph's calls, brought into one: entries in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otrainer.config.kinds import kind_of
from otrainer.model.names import check_name
from otrainer.model.section import listed

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report

CALL_KEYS = ("call", "args", "kwargs", "out")


@dataclass(frozen=True, slots=True)
class Written:
    """A call as it is written: `name` is its own name, or where it has none what people would call it."""

    name: str
    body: Mapping[Any, Any]
    path: ConfigPath
    outs: tuple[tuple[object, ConfigPath, bool], ...]
    """What it produces, as (name, place, whether the place is a key)."""


def written_nodes(section: Mapping[Any, Any], path: ConfigPath, report: Report) -> list[Written]:
    """Read the calls of a graph in their order, from `nodes` (with `order` for a mapping) or from `steps`."""
    if "steps" in section and "nodes" in section:
        message, hint = "A graph has either `nodes` or `steps`, not both.", "Remove one of them."
        report.add(message, (*path, "steps"), title="two ways at once", key=True, hint=hint)
    if "steps" not in section and "nodes" not in section:
        hint = "Add `steps: [{call: module:NAME, args: [$x], out: y}]`."
        report.add("A graph needs `nodes` or `steps`.", path, title="missing key", hint=hint)
        return []
    if "nodes" not in section:
        refuse_order(section, path, report)
        return list(from_steps(section["steps"], (*path, "steps"), report))
    nodes = section["nodes"]
    if isinstance(nodes, Mapping):
        return from_mapping(nodes, section, path, report)
    refuse_order(section, path, report)
    return list(from_list(nodes, (*path, "nodes"), report))


def refuse_order(section: Mapping[Any, Any], path: ConfigPath, report: Report) -> None:
    if "order" in section:
        message = "`order` belongs to `nodes` that are written as a mapping; a list has its order."
        report.add(message, (*path, "order"), title="order without names", key=True, hint="Leave `order` out.")


def from_list(nodes: object, path: ConfigPath, report: Report) -> Iterator[Written]:
    seen: list[str] = []
    for index, body in enumerate(report.sequence(nodes, path, what="`nodes`")):
        place = (*path, index)
        entry = report.mapping(body, place, what="A node")
        if not isinstance(body, Mapping):
            continue
        report.keys(entry, ("name", *CALL_KEYS), place, what="A node")
        report.required(entry, ("name",), place, what="A node")
        if "name" in entry and entry.get("out") is not None:
            check_own_name(entry["name"], (*place, "name"), seen, report)
        name = entry.get("name")
        label = name if isinstance(name, str) else f"node_{index}"
        seen.append(label)
        own = (name, (*place, "name"), False) if "name" in entry else None
        yield make(label, entry, place, own, report)


def check_own_name(name: object, place: ConfigPath, seen: list[str], report: Report) -> None:
    """Judge the name of a node whose `out` names its values; any other node's is judged as that of its value."""
    wrong = list(check_name(name, "node", place))
    report.extend(wrong)
    if not wrong and name in seen:
        hint = "Give each node a name of its own."
        report.add(f"The node `{name}` is there already.", place, title="duplicate name", hint=hint)


def from_steps(steps: object, path: ConfigPath, report: Report) -> Iterator[Written]:
    for index, body in enumerate(report.sequence(steps, path, what="`steps`")):
        place = (*path, index)
        entry = report.mapping(body, place, what="A step")
        if not isinstance(body, Mapping):
            continue
        report.keys(entry, CALL_KEYS, place, what="A step")
        report.required(entry, ("out",), place, what="A step")
        yield make(f"step_{index}", entry, place, None, report)


def from_mapping(
    nodes: Mapping[Any, Any], section: Mapping[Any, Any], path: ConfigPath, report: Report
) -> list[Written]:
    """Read nodes by name, run in `order`, which stands beside `nodes` or among them."""
    inside = "order" not in section and isinstance(nodes.get("order"), list | tuple)
    order, order_path = (
        (nodes["order"], (*path, "nodes", "order")) if inside else (section.get("order"), (*path, "order"))
    )
    bodies = {name: body for name, body in nodes.items() if not (inside and name == "order")}
    for name, body in bodies.items():
        place = (*path, "nodes", name)
        entry = report.mapping(body, place, what=f"The node `{name}`")
        report.keys(entry, CALL_KEYS, place, what=f"The node `{name}`")
        report.extend(check_name(name, "node", place, on_key=True) if entry.get("out") is not None else ())
    if order is None:
        hint = f"Write `order: [{', '.join(map(str, bodies))}]` beside `nodes`."
        report.add("Nodes that are written as a mapping need an `order`.", path, title="missing key", hint=hint)
        order = list(bodies)
    run = read_order(order, bodies, order_path, report)
    written = []
    for name in run:
        place = (*path, "nodes", name)
        entry = bodies[name] if isinstance(bodies[name], Mapping) else {}
        written.append(make(str(name), entry, place, (name, place, True), report))
    return written


def read_order(order: object, bodies: Mapping[Any, Any], path: ConfigPath, report: Report) -> list[Any]:
    """Return the nodes in the order in which they run; those that `order` leaves out come last, after a finding."""
    run: dict[Any, None] = {}
    known = [str(name) for name in bodies]
    for index, name in enumerate(report.sequence(order, path, what="`order`")):
        place = (*path, index)
        if not isinstance(name, str):
            message, hint = f"`order` lists names, not {kind_of(name)}.", "Write the names of the nodes."
            report.add(message, place, title="wrong type", hint=hint)
        elif name not in bodies:
            near, hint = report.near(name, known), f"There are {listed(known)}."
            report.add(f"There is no node `{name}`.", place, title="unknown node", near=near, hint="" if near else hint)
        elif name in run:
            message, hint = f"`{name}` is in the order twice.", "Every node runs once; keep one of the two."
            report.add(message, place, title="duplicate name", hint=hint)
        else:
            run[name] = None
    left = [name for name in bodies if name not in run]
    if left and isinstance(order, list | tuple):
        names = ", ".join(f"`{name}`" for name in left)
        hint = "Every node runs; remove the ones that are not wanted."
        report.add(f"`order` leaves out {names}.", path, title="incomplete order", hint=hint)
    return [*run, *left]


def make(
    label: str,
    body: Mapping[Any, Any],
    place: ConfigPath,
    default: tuple[object, ConfigPath, bool] | None,
    report: Report,
) -> Written:
    """Return the entry with what it produces: what `out` names, or else its own name."""
    report.required(body, ("call",), place, what="A call") if body else None
    if body.get("out") is None:
        return Written(label, body, place, (default,) if default else ())
    return Written(label, body, place, tuple(outs_of(body["out"], (*place, "out"), report)))


def outs_of(out: object, path: ConfigPath, report: Report) -> Iterator[tuple[object, ConfigPath, bool]]:
    if isinstance(out, str):
        yield out, path, False
    elif isinstance(out, Mapping):
        for name in out:
            yield name, (*path, name), True
    elif isinstance(out, list | tuple):
        for index, name in enumerate(out):
            yield name, (*path, index), False
    else:
        hint = "Write a name, a list of names, or a mapping of names to keys."
        report.add(f"`out` names values; this is {kind_of(out)}.", path, title="wrong type", hint=hint)
