"""`model.sequential`: one input through a list of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otrainer.model.ir import ModelIR, ModuleSpec, Node, Program, Ref
from otrainer.model.repeat import written_out
from otrainer.model.section import read_inputs, read_return

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report

KEYS = ("inputs", "layers", "return")
OUTPUT = "output"


def compile_sequential(section: Mapping[Any, Any], path: ConfigPath, report: Report) -> ModelIR:
    """Compile the layers to submodules `layers.0`, `layers.1`, ..., each called on what the one before returned.

    What repeats (`{repeat: 6, of: ...}`) is numbered as if it were written out.
    With `return: dict` the result is under the key `output`.
    """
    report.keys(section, KEYS, path, what="A sequential model")
    report.required(section, ("layers",), path, what="A sequential model")
    inputs = read_inputs(section.get("inputs", ["x"]), (*path, "inputs"), report)
    if len(inputs) > 1:
        hint = "Use `model.graph` for several inputs."
        report.add("A sequential model has exactly one input.", (*path, "inputs"), title="several inputs", hint=hint)
    layers = report.sequence(section.get("layers", []), (*path, "layers"), what="`layers`")
    if "layers" in section and isinstance(section["layers"], list | tuple) and not layers:
        hint = "Write `layers: [{_type_: nn.Linear, ...}]`."
        report.add("A sequential model needs at least one layer.", (*path, "layers"), title="no layer", hint=hint)
    returns = read_return(section, 1, (*path, "return"), report) or "single"
    written = written_out(layers, (*path, "layers"), report)
    modules = tuple(ModuleSpec(f"layers.{i}", spec, place) for i, (spec, place) in enumerate(written))
    first = inputs[0] if inputs else "x"
    values = [first, *(f"layer_{index}" for index in range(len(modules)))]
    nodes = tuple(
        Node(values[index + 1], "module", module.name, (Ref(values[index]),), (), values[index + 1], module.path)
        for index, module in enumerate(modules)
    )
    return ModelIR(modules, Program((first,), nodes, ((OUTPUT, values[-1]),), returns))
