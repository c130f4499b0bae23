"""The three ways of writing a graph's calls, brought into one: entries in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from otrainer.config.kinds import kind_of
from otrainer.errors import ConfigPath
from otrainer.model.repeat import Turn, repeats, written_out
from otrainer.model.section import Report, check_name, listed

CALL_KEYS = ("call", "args", "kwargs", "out")
# What a call produces: its name, the place of the name, and whether that place is a key.
Named: TypeAlias = tuple[object, ConfigPath, bool]


@dataclass(frozen=True, slots=True)
class Written:
    """A call as it is written: `name` is its own name, or where it has none what people would call it.

    What repeats is there once for each `turn`.
    """

    name: str
    body: Mapping[Any, Any]
    path: ConfigPath
    outs: tuple[Named, ...]
    turn: Turn | None = None

    @property
    def is_again(self) -> bool:
        """Whether the same place was written out before, and judged then."""
        return self.turn is not None and self.turn.number > 0


def written_nodes(section: Mapping[Any, Any], path: ConfigPath, report: Report) -> list[Written]:
    """Read the calls of a graph in their order, from `nodes` (with `order` for a mapping) or from `steps`."""
    if "steps" in section and "nodes" in section:
        message, hint = "A graph has either `nodes` or `steps`, not both.", "Remove one of them."
        report.add(message, (*path, "steps"), title="two ways at once", key=True, hint=hint)
    if "steps" not in section and "nodes" not in section:
        hint = "Add `steps: [{call: module:NAME, args: [$x], out: y}]`."
        report.add("A graph needs `nodes` or `steps`.", path, title="missing key", hint=hint)
        return []
    if isinstance(section.get("nodes"), Mapping):
        return from_mapping(section["nodes"], section, path, report)
    if "order" in section:
        message = "`order` belongs to `nodes` that are written as a mapping; a list has its order."
        report.add(message, (*path, "order"), title="order without names", key=True, hint="Leave `order` out.")
    kind = "node" if "nodes" in section else "step"
    return list(from_list(section[f"{kind}s"], kind, (*path, f"{kind}s"), report))


def from_list(entries: object, kind: str, path: ConfigPath, report: Report) -> Iterator[Written]:
    """Read nodes, each with a `name` of its own, or steps, each with an `out`; both may repeat."""
    needed = "name" if kind == "node" else "out"
    nameless = lacking(entries, needed) if kind == "node" else []
    if len(nameless) > 1:
        message = f"{len(nameless)} nodes have no `name`: those at {listed(list(map(str, nameless)))}."
        hint = "Give each a `name`, or write `steps` instead of `nodes`, which name their `out` alone."
        report.add(message, (*path, nameless[0]), title="missing key", hint=hint)
    seen: list[str] = []
    several = report.sequence(entries, path, what=f"`{kind}s`")
    write = "Write `{repeat: 6, of: [{call: module:NAME, args: [$x], ...}]}`."
    for index, (body, place, turn) in enumerate(written_out(several, path, report, what=kind, hint=write)):
        own = Report() if turn and turn.number else report
        entry = own.mapping(body, place, what=f"A {kind}")
        if not isinstance(body, Mapping):
            continue
        own.keys(entry, ("name", *CALL_KEYS) if kind == "node" else CALL_KEYS, place, what=f"A {kind}")
        if len(nameless) < 2:
            own.required(entry, (needed,), place, what=f"A {kind}")
        name, has_name = entry.get("name"), kind == "node" and "name" in entry
        if has_name and entry.get("out") is not None:
            check_own_name(name, (*place, "name"), seen, own)
        label = name if has_name and isinstance(name, str) else f"{kind}_{index}"
        seen.append(label)
        yield make(label, entry, place, (name, (*place, "name"), False) if has_name else None, own, turn)


def lacking(entries: object, key: str) -> list[int]:
    """Return the indices of the mappings in a list that have no such key."""
    several = entries if isinstance(entries, list | tuple) else ()
    return [i for i, body in enumerate(several) if isinstance(body, Mapping) and key not in body and not repeats(body)]


def check_own_name(name: object, place: ConfigPath, seen: list[str], report: Report) -> None:
    """Judge the name of a node whose `out` names its values; any other node's is judged as that of its value."""
    wrong = list(check_name(name, "node", place))
    report.extend(wrong)
    if not wrong and name in seen:
        hint = "Give each node a name of its own."
        report.add(f"The node `{name}` is there already.", place, title="duplicate name", hint=hint)


def from_mapping(
    nodes: Mapping[Any, Any], section: Mapping[Any, Any], path: ConfigPath, report: Report
) -> list[Written]:
    """Read nodes by name, run in `order`, which stands beside `nodes` or among them."""
    inside = "order" not in section and isinstance(nodes.get("order"), list | tuple)
    order_path = (*path, "nodes", "order") if inside else (*path, "order")
    order = nodes["order"] if inside else section.get("order")
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
    entries = {name: body if isinstance(body, Mapping) else {} for name, body in bodies.items()}
    places = {name: (*path, "nodes", name) for name in bodies}
    return [make(str(name), entries[name], places[name], (name, places[name], True), report) for name in run]


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
    default: Named | None,
    report: Report,
    turn: Turn | None = None,
) -> Written:
    """Return the entry with what it produces: what `out` names, or else its own name."""
    report.required(body, ("call",), place, what="A call") if body else None
    if body.get("out") is None:
        return Written(label, body, place, (default,) if default else (), turn)
    return Written(label, body, place, tuple(outs_of(body["out"], (*place, "out"), report)), turn)


def outs_of(out: object, path: ConfigPath, report: Report) -> Iterator[Named]:
    if isinstance(out, str):
        yield out, path, False
    elif isinstance(out, Mapping):
        for name in out:
            yield name, (*path, name), True
    elif isinstance(out, list | tuple):
        # A part called `_` is one that nobody reads.
        yield from ((name, (*path, index), False) for index, name in enumerate(out) if name != "_")
    else:
        hint = "Write a name, a list of names, or a mapping of names to keys."
        report.add(f"`out` names values; this is {kind_of(out)}.", path, title="wrong type", hint=hint)
