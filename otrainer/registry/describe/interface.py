"""What an editor is told of a registry's keys: the arguments of each with types, defaults and docs, as plain data."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.redaction.values import masked_data
from otrainer.errors import ConfigError
from otrainer.registry.build.signature import NAMED, is_open, signatures_of
from otrainer.registry.describe import docstrings
from otrainer.registry.describe.annotations import united
from otrainer.registry.describe.parameters import maker_of, values_taken

if TYPE_CHECKING:
    from otrainer.registry.core import Registry
    from otrainer.registry.entries import Entry, ModuleEntry

Row = dict[str, Any]

DEEPEST = 4


def interface_of(registry: Registry, *, built_in: bool) -> dict[str, dict[str, Row]]:
    """Describe each key and op of plugins, or those built in: doc, arguments, whether it takes others too.

    Of an argument: the `values` that it admits (see `values_taken`), whether it is `required`, its `default` if that is
    plain data, and its `doc`.
    """
    modules = [registry.get_module(name) for name in registry.list_modules()]
    ops = [registry.op_entry(name) for name in registry.list_ops()]
    rows = {
        "modules": {entry.name: module_row(entry) for entry in modules if (entry.plugin is None) == built_in},
        "ops": {entry.name: op_row(entry) for entry in ops if (entry.plugin is None) == built_in},
    }
    # A default may be read from the environment.
    return rows if built_in else masked_data(rows)


def module_row(entry: ModuleEntry) -> Row:
    target = found(entry)
    if target is None:
        return {"doc": entry.doc, "open": True, "arguments": {}}
    signatures = [] if entry.signature_policy == "runtime_only" else signatures_of(target)
    kinds = [{each.kind for each in signature.parameters.values()} for signature in signatures]
    return {
        "doc": doc_of(entry, target),
        "open": not signatures or any(Parameter.VAR_KEYWORD in each for each in kinds),
        "arguments": arguments_of(target, [each for each in signatures if not is_open(each)]),
    }


def op_row(entry: Entry) -> Row:
    target = found(entry)
    return {"doc": entry.doc if target is None else doc_of(entry, target)}


def found(entry: Entry) -> Callable[..., Any] | None:
    """Return what an entry stands for; None where it cannot be imported."""
    try:
        return entry.target
    except ConfigError:
        return None


def doc_of(entry: Entry, target: Callable[..., Any]) -> str:
    """Return the text given when registering, else the docstring up to its first section."""
    text = written(target)
    if entry.doc and entry.doc != next(iter(text.splitlines()), ""):
        return entry.doc
    return docstrings.summary(text)


def written(target: object) -> str:
    """Return a docstring without a signature on its first line, as `dataclass` and some of torch write it."""
    text = inspect.getdoc(target) or ""
    line, _, rest = text.partition("\n")
    call = line.startswith(("__init__(", f"{getattr(target, '__name__', '')}(")) and line.endswith(")")
    return rest.lstrip("\n") if call else text


def arguments_of(target: Callable[..., Any], signatures: Iterable[Signature]) -> dict[str, Row]:
    """Describe the arguments that can be given by name, in order; several signatures are joined."""
    maker = maker_of(target)
    texts = [written(target), *([written(maker)] if maker is not target else []), *of_bases(target)]
    said = {name: text for each in reversed(texts) for name, text in docstrings.arguments(each).items()}
    whole = "\n\n".join(docstrings.summary(each) for each in [texts[0], *of_bases(target)])
    rows: dict[str, list[Row]] = {}
    for signature in signatures:
        for parameter in signature.parameters.values():
            if parameter.kind in NAMED:
                rows.setdefault(parameter.name, []).append(argument_row(parameter, maker))
    everywhere = len(list(signatures))
    docs = {name: said.get(name) or docstrings.mentions(whole, name) for name in rows}
    return {name: {**joined(several, everywhere), "doc": docs[name]} for name, several in rows.items()}


def of_bases(target: Callable[..., Any]) -> list[str]:
    """Return what the dataclasses say whose fields a class takes as arguments too, the nearest first."""
    bases = inspect.getmro(target)[1:] if inspect.isclass(target) else ()
    return [written(base) for base in bases if is_dataclass(base)]


def joined(several: list[Row], everywhere: int) -> Row:
    required = len(several) == everywhere and all(row["required"] for row in several)
    values = united([row["values"] for row in several])
    return {**several[0], "required": required, "values": values}


def argument_row(parameter: Parameter, maker: Callable[..., Any]) -> Row:
    row: Row = {"values": values_taken(parameter, maker), "required": parameter.default is Parameter.empty}
    if is_plain(parameter.default):
        row["default"] = json.loads(json.dumps(parameter.default))  # without tuples
    return row


def is_plain(value: object, depth: int = DEEPEST) -> bool:
    """Return whether JSON can hold a default as it is, and an editor show it."""
    if type(value) in (type(None), bool, int, str):
        return True
    if type(value) is float:
        return math.isfinite(value)
    if type(value) in (list, tuple) and depth:
        return all(is_plain(item, depth - 1) for item in value)  # type: ignore[attr-defined]  # it is one of them
    names = value if type(value) is dict and depth else None
    return names is not None and all(type(name) is str and is_plain(names[name], depth - 1) for name in names)
