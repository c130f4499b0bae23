"""What nodes and the values between them are called: by the config's names, and by shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.tree import leaves

if TYPE_CHECKING:
    from otrainer.model.ir import ModelIR, Node

SHORT = {torch.float32: "", torch.bfloat16: "bf16", torch.float16: "fp16"}


def label_calls(ir: ModelIR) -> dict[str, str]:
    """Return what each node calls: the key of its module, with the module's name where it has another."""
    keys = {spec.name: key_of(spec.spec) for spec in ir.modules}
    called: dict[str, str] = {}
    for node in ir.program.nodes:
        own = "" if node.target == label(node) else f"{node.target}: "
        called[node.name] = f"op:{node.target}" if node.kind == "op" else f"{own}{keys[node.target]}"
    return called


def key_of(spec: Mapping[str, Any]) -> str:
    return str(spec.get("_type_", spec.get("_target_")))


def label(node: Node) -> str:
    """Return what people know a node by: a layer's number, or the name of its value."""
    if "." in node.target and node.kind == "module":
        return node.target
    return node.out if isinstance(node.out, str) else node.name


def describe_shapes(value: Any) -> str:
    """Write the shapes of a value's tensors in its own structure: `[32, 16]`, `bf16[8]`, `{a: [1], b: [2, 2]}`."""
    if isinstance(value, torch.Tensor):
        return f"{SHORT.get(value.dtype, str(value.dtype).removeprefix('torch.'))}{list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {describe_shapes(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(describe_shapes, value))})"
    if tensors := list(leaves(value)):
        return f"{type(value).__name__}({', '.join(map(describe_shapes, tensors))})"
    return repr(value) if isinstance(value, bool | int | float | str | None) else type(value).__name__


def describe_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Write the arguments of a call by their shapes: `[32, 16], [32, 8], dim: 1`."""
    named = (f"{name}: {describe_shapes(value)}" for name, value in kwargs.items())
    return ", ".join([*map(describe_shapes, args), *named]) or "nothing"
