"""What nodes and the values between them are called: by the config's names, and by shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.tree import leaves

if TYPE_CHECKING:
    from otrainer.model.ir import ModelIR, Node

SHORT = {torch.float32: "", torch.bfloat16: "bf16", torch.float16: "fp16"}


def calls(ir: ModelIR) -> dict[str, str]:
    """What each node calls, as people read it: the key of its module, with the module's name where it has another."""
    keys = {spec.name: key_of_spec(spec.spec) for spec in ir.modules}
    return {node.name: call_of(node, keys) for node in ir.program.nodes}


def call_of(node: Node, keys: dict[str, str]) -> str:
    if node.kind == "op":
        return f"op:{node.target}"
    return keys[node.target] if node.target == label(node) else f"{node.target}: {keys[node.target]}"


def key_of_spec(spec: Any) -> str:
    return str(spec.get("_type_", spec.get("_target_")))


def label(node: Node) -> str:
    """What people know a node by: a layer's number, or the name of its value."""
    if "." in node.target and node.kind == "module":
        return node.target
    return node.out if isinstance(node.out, str) else node.name


def shapes(value: Any) -> str:
    """The shapes of the tensors in a value, in its own structure: `[32, 16]`, `bf16[8]`, `{a: [1], b: [2, 2]}`."""
    if isinstance(value, torch.Tensor):
        kind = SHORT.get(value.dtype, str(value.dtype).removeprefix("torch."))
        return f"{kind}{list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {shapes(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(shapes, value))})"
    tensors = list(leaves(value))
    if tensors:
        return f"{type(value).__name__}({', '.join(map(shapes, tensors))})"
    return repr(value) if isinstance(value, bool | int | float | str | None) else type(value).__name__


def given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The arguments of a call by their shapes: `[32, 16], [32, 8], dim: 1`."""
    return ", ".join([*map(shapes, args), *(f"{name}: {shapes(value)}" for name, value in kwargs.items())]) or "nothing"
