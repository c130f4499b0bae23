"""`model.sequential`: one input through a list of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otrainer.model.inputs import read_inputs
from otrainer.model.ir import ModelIR, Program
from otrainer.model.layers import call_layers
from otrainer.model.repeat import written_out
from otrainer.model.section import read_return

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report
    from otrainer.registry.core import Registry

KEYS = ("inputs", "layers", "return")
OUTPUT = "output"


def compile_sequential(section: Mapping[Any, Any], path: ConfigPath, registry: Registry, report: Report) -> ModelIR:
    """Compile the layers to submodules `layers.0`, `layers.1`, ..., each called on what the one before returned.

    A layer may be written with its arguments and what of its result goes on (`{layer: SPEC, args: [$x, $x], pick: 0}`).
    What repeats (`{repeat: 6, of: ...}`) is numbered as if it were written out.
    With `return: dict` the result is under the key `output`.
    """
    report.keys(section, KEYS, path, what="A sequential model")
    report.required(section, ("layers",), path, what="A sequential model")
    inputs = read_inputs(section.get("inputs", ["x"]), (*path, "inputs"), report)
    if any(inputs.values()):
        message, hint = "A sequential model is never called without its input.", "Write the name alone: `inputs: [x]`."
        report.add(message, (*path, "inputs"), title="wrong value", hint=hint)
    if len(inputs) > 1:
        hint = "Use `model.graph` for several inputs."
        report.add("A sequential model has exactly one input.", (*path, "inputs"), title="several inputs", hint=hint)
    layers = report.sequence(section.get("layers", []), (*path, "layers"), what="`layers`")
    if "layers" in section and isinstance(section["layers"], list | tuple) and not layers:
        hint = "Write `layers: [{_type_: nn.Linear, ...}]`."
        report.add("A sequential model needs at least one layer.", (*path, "layers"), title="no layer", hint=hint)
    returns = read_return(section, 1, (*path, "return"), report) or "single"
    write = "Write `{repeat: 6, of: {_type_: ...}}`, or a list of layers under `of`."
    written = [each[:2] for each in written_out(layers, (*path, "layers"), report, what="layer", hint=write)]
    first = next(iter(inputs), "x")
    called = list(call_layers(written, first, registry, report))
    modules, nodes = tuple(module for module, _ in called), tuple(node for _, node in called)
    last = f"layer_{len(called) - 1}" if called else first
    return ModelIR(modules, Program((first,), nodes, ((OUTPUT, last),), returns))
