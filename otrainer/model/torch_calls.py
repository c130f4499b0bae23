"""How functions of torch may be called whose signatures Python cannot read, by torch's own schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Parameter, Signature, signature
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch._jit_internal import boolean_dispatched
from torch.overrides import get_ignored_functions

from otrainer.storage import process_memory

Way = Callable[..., Any]

# What torch's Python calls a tensor that a schema calls `self`, and what it takes for NumPy's sake; as its
# python_arg_parser.cpp has them.
INPUT = "input"
ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": INPUT, "a": INPUT, "x1": INPUT, "x2": "other"}
MODULES = ("torch", "torch._C._nn")
OUT = "out"
# Beside the schemas: what makes a tensor says whether it has a gradient, and one function is written by hand.
MAKES = "requires_grad"
BY_HAND = {"nonzero": ("as_tuple",)}
FACTORS = ("beta", "alpha", "value")  # which once stood before what they multiply, and may still do so
OBJECTS = ("dtype", "out_dtype", "layout", "memory_format")  # integers in a schema
PLAIN = {
    "Tensor": torch.Tensor, "int": int, "bool": bool, "Optional[int]": int | None, "Optional[bool]": bool | None,
}  # fmt: skip
DIMENSION = {"int": int | str, "Optional[int]": int | str | None}  # which may have a name


def ways_to_call(function: Callable[..., Any]) -> tuple[Way, ...]:
    """Return stand-ins with the signatures by which torch's function may be called; none where Python reads its own.

    Of what only makes tensors, as `torch.zeros`, there is none: its sizes are written in ways that no schema tells.
    """
    if (
        isinstance(function, FunctionType) and function in boolean_dispatched
    ):  # one of two functions, by an argument that both take
        named = signature(boolean_dispatched[function]["if_true"]).parameters.values()
        return (stand_in([each if each.annotation is torch.Tensor else without_kind(each) for each in named]),)
    if not isinstance(function, BuiltinFunctionType) or function.__module__ not in MODULES:
        return ()
    known: dict[str, tuple[Way, ...]] = process_memory.get("torch_overloads", dict)
    name = function.__name__  # functions of torch under two names are equal
    if name not in known:
        known[name] = overloads(name) if takes_tensors(function) else ()
    return known[name]


def takes_tensors(function: BuiltinFunctionType) -> bool:
    return function is torch.arange or function.__name__.endswith("_like") or function not in get_ignored_functions()


def overloads(name: str) -> tuple[Way, ...]:
    """Return a stand-in for each overload that has a tensor to give; others are for TorchScript alone."""
    schemas: Any = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    more = [by_name(each) for each in BY_HAND.get(name, ())]
    return tuple(stand_in([*way, *more]) for each in schemas if gives(each) for way in ways_of(each))


def gives(schema: Any) -> bool:
    return any("Tensor" in str(one.type) for one in schema.returns) or any(one.is_out for one in schema.arguments)


def ways_of(schema: Any) -> Iterator[list[Parameter]]:
    """Yield the parameters of an overload as it is, and with its factors by position, as in earlier times."""
    parameters = list(parameters_of(schema))
    yield parameters
    inputs = [each for each in parameters if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
    options = [each for each in parameters if each.kind is Parameter.KEYWORD_ONLY]
    factors = [each.replace(kind=Parameter.POSITIONAL_OR_KEYWORD) for each in options if each.name in FACTORS]
    for count in range(1, len(factors) + 1):
        first, *rest = factors[:count]
        begin = [first, inputs[0]] if first.name == FACTORS[0] else [inputs[0], first]
        yield [each.replace(default=Parameter.empty) for each in (*begin, *rest, *inputs[1:])] + [by_name(OUT)]


def parameters_of(schema: Any) -> Iterator[Parameter]:
    """Yield the parameters of an overload; all tensors that it writes into are one `out`."""
    read = [each for each in schema.arguments if not each.is_out]
    for each in read:
        kind = Parameter.KEYWORD_ONLY if each.kwarg_only else Parameter.POSITIONAL_OR_KEYWORD
        default = None if each.has_default_value() else Parameter.empty
        kinds = {**PLAIN, **DIMENSION} if "dim" in each.name else PLAIN
        annotation = Parameter.empty if each.name in OBJECTS else kinds.get(str(each.type), Parameter.empty)
        name = INPUT if each.name == "self" and str(each.type) == "Tensor" else each.name
        yield Parameter(name, kind, default=default, annotation=annotation)
    if len(read) < len(schema.arguments):
        yield by_name(OUT)
    if any(each.name == "pin_memory" for each in read):
        yield by_name(MAKES)


def by_name(name: str) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None)


def without_kind(parameter: Parameter) -> Parameter:
    """Return a parameter of which no more than its name is known, and whether it is needed."""
    default = parameter.default if parameter.default is Parameter.empty else None
    return parameter.replace(annotation=Parameter.empty, default=default)


def stand_in(parameters: list[Parameter]) -> Way:
    def way(*_args: Any, **_kwargs: Any) -> None: ...

    way.__signature__ = Signature(sorted(parameters, key=lambda each: each.kind))  # type: ignore[attr-defined]
    return way
