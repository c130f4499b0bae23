"""Plain Python data becomes nodes without places."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any

from otrainer.config.nodes import (
    MAX_DEPTH,
    TEXT,
    Mapping,
    Node,
    Scalar,
    Sequence,
    mapping_of,
    sequence_of,
    within_limits,
)
from otrainer.errors import ConfigError, ConfigPath, Finding, dotted

HOW = "With its aliases counted as often as they are used"
SCALARS = (str, int, float, bool, type(None))


def tree_of(data: AnyMapping[Any, object]) -> Mapping:
    """The tree of a dict, which is not changed.

    Raises ConfigError with every value that is no plain data, every key that is no string, and a `defaults`.
    """
    findings: list[Finding] = []
    if "defaults" in data:
        message = "A config given as a dict has no place that `defaults` could be relative to."
        hint = "Resolve a file, or merge the dicts beforehand."
        findings.append(Finding(message, "defaults in a dict", ("defaults",), on_key=True, hint=hint))
    root = mapping_node(data, (), findings)
    if findings:
        raise ConfigError.of(findings)
    return root


def node_of(value: object, path: ConfigPath, findings: list[Finding]) -> Node:
    """The node of `value`; what cannot be one is added to `findings` and left out."""
    if type(value) in SCALARS:
        special = TEXT if isinstance(value, str) and "${" in value else 0
        return Scalar(value, special=special)  # type: ignore[arg-type]  # its type was just checked
    if not isinstance(value, AnyMapping | list | tuple):
        message = f"`{dotted(path)}` is of type `{type(value).__name__}`, which is no plain data."
        hint = "Give strings, numbers, booleans, null, lists and mappings of them."
        findings.append(Finding(message, "not plain data", path, hint=hint))
        return Scalar(None)
    if len(path) >= MAX_DEPTH:
        message = f"Collections are nested more than {MAX_DEPTH} deep, or contain themselves."
        raise ConfigError(
            message, title="nested too deep", config_path=path[:5], hint="Flatten this part of the config."
        )
    return mapping_node(value, path, findings) if isinstance(value, AnyMapping) else list_node(value, path, findings)


def list_node(value: list[object] | tuple[object, ...], path: ConfigPath, findings: list[Finding]) -> Sequence:
    return within_limits(
        sequence_of([node_of(item, (*path, at), findings) for at, item in enumerate(value)]), path, HOW
    )


def mapping_node(value: AnyMapping[Any, object], path: ConfigPath, findings: list[Finding]) -> Mapping:
    items: dict[str, Node] = {}
    for key, item in value.items():
        if type(key) is str:
            items[key] = node_of(item, (*path, key), findings)
        else:
            where = f" of `{dotted(path)}`" if path else ""
            message = f"The key `{key!r}`{where} is of type `{type(key).__name__}`; keys are strings."
            findings.append(Finding(message, "key is no string", path, hint=f"Write it as `{str(key)!r}`."))
    return within_limits(mapping_of(items), path, HOW)
