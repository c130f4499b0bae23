"""Make nodes, without places, of plain Python data."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any

from otrainer.config.budget import Budget
from otrainer.config.limits import or_raise
from otrainer.config.nodes import TEXT, Mapping, Node, Scalar, Sequence, mapping_of, sequence_of
from otrainer.config.scalars import MAX_KEY
from otrainer.config.text import shortened
from otrainer.errors import ConfigError, ConfigPath, Finding, dotted

HOW = "With its aliases counted as often as they are used"
SCALARS = (str, int, float, bool, type(None))


def tree_of(data: AnyMapping[Any, object], budget: Budget | None = None) -> Mapping:
    """Make the tree of a dict, which is not changed.

    Raises ConfigError with every value that is no plain data, every key that is no string, and a `defaults`.
    """
    findings: list[Finding] = []
    if "defaults" in data:
        message = "A config given as a dict has no place that `defaults` could be relative to."
        hint = "Resolve a file, or merge the dicts beforehand."
        findings.append(Finding(message, "defaults in a dict", ("defaults",), on_key=True, hint=hint))
    root = PlainReader(findings, budget or Budget()).mapping(data, ())
    if findings:
        raise ConfigError.of(findings)
    return root


class PlainReader:
    """Makes nodes; what cannot be one is added to `findings` and left out."""

    def __init__(self, findings: list[Finding], budget: Budget) -> None:
        self.findings = findings
        self.budget = budget

    def node(self, value: object, path: ConfigPath) -> Node:
        if type(value) in SCALARS:
            special = TEXT if isinstance(value, str) and "${" in value else 0
            return Scalar(value, special=special)  # type: ignore[arg-type]  # its type was just checked
        if not isinstance(value, AnyMapping | list | tuple):
            message = f"`{dotted(path)}` is of type `{type(value).__name__}`, which is no plain data."
            hint = "Give strings, numbers, booleans, null, lists and mappings of them."
            self.findings.append(Finding(message, "not plain data", path, hint=hint))
            return Scalar(None)
        most = self.budget.limits.depth
        if len(path) >= most:
            message = f"Collections are nested more than {most} deep, or contain themselves."
            hint = or_raise("Flatten this part of the config.", "depth")
            raise ConfigError(message, title="nested too deep", config_path=path[:5], hint=hint)
        return self.mapping(value, path) if isinstance(value, AnyMapping) else self.sequence(value, path)

    def sequence(self, value: list[object] | tuple[object, ...], path: ConfigPath) -> Sequence:
        self.budget.spend(len(value), None, path)
        items = [self.node(item, (*path, at)) for at, item in enumerate(value)]
        return self.budget.within(sequence_of(items), path, HOW)

    def mapping(self, value: AnyMapping[Any, object], path: ConfigPath) -> Mapping:
        self.budget.spend(len(value), None, path)
        items: dict[str, Node] = {}
        for key, item in value.items():
            where = f" of `{dotted(path)}`" if path else ""
            if type(key) is not str:
                message = f"The key `{key!r}`{where} is of type `{type(key).__name__}`; keys are strings."
                self.findings.append(Finding(message, "key is no string", path, hint=f"Write it as `{str(key)!r}`."))
            elif len(key) > MAX_KEY:
                message = f"The key `{shortened(key)}`{where} has {len(key):,} characters, more than {MAX_KEY:,}."
                hint = "Make the long text a value, under a short key."
                self.findings.append(Finding(message, "key too long", path, hint=hint))
            else:
                items[key] = self.node(item, (*path, key))
        return self.budget.within(mapping_of(items), path, HOW)
