"""`model.graph`: named modules, and calls of them in any order that only looks back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otrainer.model.inputs import read_inputs
from otrainer.model.ir import ModelIR, ModuleSpec, Node, Picks, Program, Returns
from otrainer.model.nodes import Calls, read_node
from otrainer.model.order import Written, written_nodes
from otrainer.model.repeat import Turn, repeated, repeats
from otrainer.model.section import Report, check_name, read_return
from otrainer.model.values import Values
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.core import Registry

KEYS = ("inputs", "modules", "nodes", "order", "steps", "outputs", "return")


def compile_graph(section: Mapping[Any, Any], path: ConfigPath, registry: Registry, report: Report) -> ModelIR:
    """Compile the graph to modules and calls; names are looked up as the calls run, so every reference points back."""
    report.keys(section, KEYS, path, what="A graph")
    report.required(section, ("inputs", "outputs"), path, what="A graph")
    modules = read_modules(section.get("modules"), (*path, "modules"), report)
    inputs = read_inputs(section["inputs"], (*path, "inputs"), report) if "inputs" in section else {}
    values = Values(inputs, report)
    calls = Calls({module.name: module for module in modules}, registry)
    nodes = read_nodes(written_nodes(section, path, report), calls, values, report)
    outputs = read_outputs(section.get("outputs"), (*path, "outputs"), values, report) if "outputs" in section else []
    returns = read_return(section, len(outputs), (*path, "return"), report) or inferred(section.get("outputs"))
    if returns == "dict":
        check_keys(outputs, report)
    pairs = tuple((key, value) for key, value, _ in outputs)
    defaults = tuple((name, default[0]) for name, default in inputs.items() if default)
    return ModelIR(modules, Program(tuple(inputs), tuple(nodes), pairs, returns, defaults))


def read_modules(section: object, path: ConfigPath, report: Report) -> tuple[ModuleSpec, ...]:
    if section is None:
        return ()
    body = report.mapping(section, path, what="`modules`")
    for name in body:
        report.extend(check_name(name, "module", (*path, name), on_key=True))
    return tuple(spec for name, each in body.items() for spec in specs_of(str(name), each, (*path, name), report))


def specs_of(name: str, section: object, path: ConfigPath, report: Report) -> Iterator[ModuleSpec]:
    """Yield the module that a section writes, or those that it repeats, which are called `name.0`, `name.1`, ..."""
    if not isinstance(section, Mapping) or not repeats(section) or is_spec(section):
        yield ModuleSpec(name, section, path)  # type: ignore[arg-type]  # what is no mapping is told where specs are
        return
    write = "Write `{repeat: 6, of: {_type_: ...}}`."
    for spec, place, turn in repeated(section, path, report, what="module", hint=write, single=True):
        yield ModuleSpec(f"{name}.{turn.number if turn else 0}", spec, place)


def read_nodes(written: Sequence[Written], calls: Calls, values: Values, report: Report) -> list[Node]:
    """Read the nodes in order. Every name that is produced anywhere is known first, to tell a forward reference."""
    nodes: list[Node] = []
    for entry in written:
        values.expect((name for name, _, _ in entry.outs), entry.name)
    for entry in written:
        own = Report() if entry.is_again else report
        values.begin(entry.turn, own)
        node = read_node(entry, calls, values, own)
        for name, place, on_key in entry.outs:
            values.produce(name, place, on_key=on_key, by=entry.name)
        nodes.extend([in_turn(node, entry.turn, values)] if node else [])
    return nodes


def in_turn(node: Node, turn: Turn | None, values: Values) -> Node:
    """Return a node that repeats under names that no other turn of it has."""
    if turn is None:
        return node
    out, now = node.out, values.now
    if isinstance(out, Picks):
        out = Picks(tuple((now.get(name, name), key) for name, key in out.pairs))
    else:
        out = now.get(out, out) if isinstance(out, str) else tuple(now.get(name, name) for name in out)
    return replace(node, name=f"{node.name}.{turn.number}", out=out)


def read_outputs(
    section: object, path: ConfigPath, values: Values, report: Report
) -> list[tuple[str, str, ConfigPath]]:
    """Read what is returned as (key, value, place); the keys of a list are the values' names."""
    if isinstance(section, Mapping):
        entries = [(key, item, (*path, key)) for key, item in section.items()]
    else:
        hint = f"Write `[{section}]`." if isinstance(section, str) else ""
        items = report.sequence(section, path, what="`outputs`", hint=hint)
        entries = [(None, item, (*path, index)) for index, item in enumerate(items)]
    if isinstance(section, Mapping | list | tuple) and not entries:
        report.add("A graph needs at least one output.", path, title="nothing named", hint="Write `outputs: [$y]`.")
    outputs: list[tuple[str, str, ConfigPath]] = []
    for key, item, place in entries:
        name = values.output(item, place)
        if name is not None:
            outputs.append((name if key is None else key, values.now[name], place))
    return outputs


def inferred(outputs: object) -> Returns:
    """Return `single` for a list of one, `tuple` for a longer one, `dict` for a mapping."""
    if isinstance(outputs, Mapping):
        return "dict"
    return "tuple" if isinstance(outputs, list | tuple) and len(outputs) > 1 else "single"


def check_keys(outputs: Sequence[tuple[str, str, ConfigPath]], report: Report) -> None:
    keys = [key for key, _, _ in outputs]
    for index, (key, _, place) in enumerate(outputs):
        if key in keys[:index]:
            report.add(f"The output `{key}` is named twice.", place, title="duplicate name", hint="Use a mapping.")
