"""`{layer: SPEC, args: [...], pick: 0}` among layers: how one is called, and what of its result goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.config.kinds import kind_of
from otrainer.model.ir import Arg, Items, ModuleSpec, Node, Out, Pairs, Picks, Ref
from otrainer.model.nodes import Calls, check_arguments, read_args, read_kwargs
from otrainer.model.order import Written
from otrainer.model.section import Report
from otrainer.model.values import Values
from otrainer.registry.build.signature import MISSING
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.core import Registry

KEYS = ("layer", "args", "kwargs", "pick")


def call_layers(
    layers: Sequence[tuple[Any, ConfigPath]], first: str, registry: Registry, report: Report
) -> Iterator[tuple[ModuleSpec, Node]]:
    """Yield the module and the call of each layer, the value of the one before written `$first` in its arguments.

    What repeats is written in one place, and judged there once.
    """
    value, judged = first, set()
    for index, (layer, place) in enumerate(layers):
        own = Report() if place in judged else report
        judged.add(place)
        body = layer if is_called(layer) else {"layer": layer}
        inner = (*place, "layer") if is_called(layer) else place
        own.keys(body, KEYS, place, what="A layer that is called")
        module = ModuleSpec(f"layers.{index}", body["layer"], inner)
        args: tuple[Arg, ...] = (Ref(first),)
        if "args" in body:
            args = tuple(read_args(body["args"], (*place, "args"), Values([first], own), own))
        kwargs = tuple(read_kwargs(body.get("kwargs"), (*place, "kwargs"), Values([first], own), own))
        result = f"layer_{index}"
        out = picked(body, result, (*place, "pick"), own)
        node = Node(
            result if isinstance(out, str) else f"{result}_parts", "module", module.name,
            tuple(on(arg, value) for arg in args), tuple((name, on(arg, value)) for name, arg in kwargs), out, inner,
        )  # fmt: skip
        if own is report:
            check_layer(node, module, layer, place, registry, report)
        yield module, node
        value = result


def check_layer(
    node: Node, module: ModuleSpec, layer: object, place: ConfigPath, registry: Registry, report: Report
) -> None:
    """Judge the call by the signature of the layer's forward; one without arguments is given just one."""
    found = Report()
    check_arguments(node, Written(node.name, {}, place, ()), Calls({module.name: module}, registry), found)
    if is_called(layer):
        report.extend(found.findings)
        return
    for finding in found.findings:
        if finding.title == MISSING:
            hint = "Write `{layer: {_type_: ...}, args: [$x, $x]}`, with `pick: 0` for the first of several values."
            report.add(finding.message, place, title=MISSING, hint=hint)


def is_called(layer: object) -> bool:
    """Return whether a layer is written with the arguments of its call."""
    return isinstance(layer, Mapping) and "layer" in layer and not is_spec(layer)


def picked(body: Mapping[Any, Any], result: str, place: ConfigPath, report: Report) -> Out:
    """Return the name of what goes on: all that the layer returns, or what is under a key or index of it."""
    key = body.get("pick")
    if key is None:
        return result
    if isinstance(key, str | int) and not isinstance(key, bool):
        return Picks(((result, key),))
    hint = "Write `pick: 0` for the first of several values, or a key of a dict."
    report.add(f"`pick` is a key or an index, not {kind_of(key)}.", place, title="wrong type", hint=hint)
    return result


def on(arg: Arg, value: str) -> Arg:
    """Return an argument with each of its references to `value`: there is but one that they may mean."""
    if isinstance(arg, Ref):
        return Ref(value)
    if isinstance(arg, Items):
        return Items(tuple(on(item, value) for item in arg.items))
    return Pairs(tuple((key, on(item, value)) for key, item in arg.pairs)) if isinstance(arg, Pairs) else arg
