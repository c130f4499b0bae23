"""Which plain values an annotation admits, as JSON Schema says it; what only a spec can build counts as an object."""

from __future__ import annotations

import collections.abc
import numbers
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeAlias

Values: TypeAlias = dict[str, Any]

ANYTHING: Values = {}
DEEPEST = 4
SIMPLE: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    numbers.Integral: "integer",
    float: "number",
    numbers.Number: "number",
    numbers.Real: "number",
    str: "string",
    types.NoneType: "null",
}
ORDER = ("boolean", "integer", "number", "string", "array", "object", "null")
INSIDE = {"array": ("items", "prefixItems", "minItems", "maxItems"), "object": ("additionalProperties",)}
# No plain value is one of these: they come out of specs.
BUILT = ("torch.nn.modules.module.Module", "torch.optim.optimizer.Optimizer")
# Much that asks for one takes numbers and lists, from which it makes one.
TENSOR = ("torch", "Tensor")
LISTS = (collections.abc.Iterable, collections.abc.Sequence, collections.abc.Collection, list, set, frozenset)


def values_of(annotation: object, depth: int = DEEPEST) -> Values:
    """Return a schema with `type` as a list of JSON's types; `{}` where the annotation says nothing.

    It may be wider than the annotation, and is never narrower, but that only lists and mappings count as iterables.
    """
    annotation = unwrapped(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return united([values_of(argument, depth) for argument in beside_tensors(arguments)])
    if origin is typing.Literal:
        return united([literal(value) for value in arguments])
    if annotation is None:
        return {"type": ["null"]}
    cls = origin or annotation
    if cls is collections.abc.Callable:
        return {"type": ["object"]}
    return values_of_class(cls, arguments, depth) if isinstance(cls, type) else ANYTHING


def beside_tensors(arguments: tuple[Any, ...]) -> list[Any]:
    """Return the members of a union; where a tensor has a plain form beside it (`float | Tensor`), it is built."""
    tensors = [each for each in arguments if (getattr(each, "__module__", ""), getattr(each, "__name__", "")) == TENSOR]
    others = [each for each in arguments if each not in tensors]
    return [*others, dict] if tensors and others not in ([], [types.NoneType]) else list(arguments)


def values_of_class(cls: type, arguments: tuple[Any, ...], depth: int) -> Values:
    if cls in SIMPLE:
        return {"type": [SIMPLE[cls]]}
    if cls is tuple:
        return tuple_of(arguments, depth)
    if cls in LISTS:
        return {"type": ["array"], **item(arguments[:1], "items", depth)}
    if issubclass(cls, Mapping) or typing.is_typeddict(cls):
        return {"type": ["object"], **item(arguments[1:2], "additionalProperties", depth)}
    if issubclass(cls, os.PathLike):
        return {"type": ["string"]}
    built = any(f"{base.__module__}.{base.__qualname__}" in BUILT for base in cls.__mro__)
    return {"type": ["object"]} if built else ANYTHING


def unwrapped(annotation: object) -> object:
    """Return what an alias, a new type or an `Annotated` stands for."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__  # type: ignore[attr-defined]  # Python 3.12's `type X = ...`
        else:
            return annotation


def literal(value: object) -> Values:
    kind = SIMPLE.get(type(value))
    return {"type": [kind], "enum": [value]} if kind else ANYTHING


def tuple_of(arguments: tuple[Any, ...], depth: int) -> Values:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": ["array"], **item(arguments[:1], "items", depth)}
    if not arguments or not depth:
        return {"type": ["array"]}
    several = [values_of(argument, depth - 1) for argument in arguments]
    length = {"minItems": len(several), "maxItems": len(several)}
    alike = {"items": several[0]} if all(each == several[0] for each in several) else {"prefixItems": several}
    return {"type": ["array"], **alike, **length}


def item(arguments: tuple[Any, ...], keyword: str, depth: int) -> Values:
    """Return the schema of a container's items; nothing below some depth, since an alias may contain itself."""
    found = values_of(arguments[0], depth - 1) if arguments and depth else ANYTHING
    return {keyword: found} if found else {}


def united(several: list[Values]) -> Values:
    """Unite `several` schemas in one that admits all: flat, so that an editor can name the types in one sentence."""
    if any("type" not in each for each in several):
        return several[0] if all(each == several[0] for each in several) else ANYTHING
    found = {kind for each in several for kind in each["type"]}
    if "number" in found:
        found.discard("integer")  # it is one
    whole: Values = {"type": [kind for kind in ORDER if kind in found]}
    if any("enum" in each for each in several) and all("enum" in each or each["type"] == ["null"] for each in several):
        listed = [value for each in several for value in each.get("enum", [None])]
        whole["enum"] = list({(type(value), value): value for value in listed}.values())
    for kind, keywords in INSIDE.items():
        said = [{name: each[name] for name in keywords if name in each} for each in several if kind in each["type"]]
        whole |= said[0] if said and all(each == said[0] for each in said) else {}
    return whole


def plain_only(values: Values) -> Values:
    """Leave out what only a spec can build, where there is anything else: what is plain data builds nothing."""
    others = [kind for kind in values.get("type", []) if kind != "object"]
    return {**values, "type": others} if others and "additionalProperties" not in values else values
