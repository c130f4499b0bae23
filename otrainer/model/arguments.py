"""Whether the arguments of a node fit what it calls: an op, or the forward of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

import torch

from otrainer.errors import Finding
from otrainer.model.torch_calls import ALIASES, by_name, stand_in, ways_to_call
from otrainer.registry.build.signature import (
    NAMED,
    POSITIONAL,
    SURPLUS,
    WRONG,
    check_call,
    signatures_of,
)

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath

TENSORS = (torch.Tensor, "Tensor", "torch.Tensor")


def misfits(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], path: ConfigPath, *, called: str
) -> list[Finding]:
    """Return what is wrong with the arguments of a node at `path`, by the overload that fits best."""
    places = {name: (*path, "kwargs", name) for name in kwargs}
    ways = ways_to_call(function)
    if ways:
        names = dict.fromkeys(name for way in ways for name in signature_of(way).parameters)
        meant = {name: name if name in names else ALIASES.get(name, name) for name in kwargs}
        if len({*meant.values()}) == len(meant):
            kwargs = {meant[name]: value for name, value in kwargs.items()}
            places = {meant[name]: place for name, place in places.items()}
        if any(name not in names for name in kwargs):
            ways = (knowing(names, signature_of(ways[0]), len(args)),)
    found = [judged(way, args, kwargs, path, called, places) for way in ways or (function,)]
    return min(found, key=len)


def judged(
    way: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    path: ConfigPath,
    called: str,
    places: Mapping[str, ConfigPath],
) -> list[Finding]:
    """Return what is wrong with the arguments by one signature."""
    found = check_call(way, args, kwargs, "best_effort", path, called=called, places=places, args_key="args")
    signatures = signatures_of(way)
    if len(signatures) != 1:
        return found
    parameters = signatures[0].parameters.values()
    positional = [each for each in parameters if each.kind in POSITIONAL]
    if all(isinstance(each, int) for each in args[len(positional) - 1 :]) and len(positional) > 1:
        hint = f"Write `[{', '.join(map(str, args[len(positional) - 1 :]))}]` where they are one argument."
        found = [
            Finding(each.message, SURPLUS, each.config_path, hint=hint) if each.title == SURPLUS else each
            for each in found
        ]
    named = [(each, kwargs[each.name], places[each.name]) for each in parameters if each.name in kwargs]
    by_place = [(each, args[at], (*path, "args", at)) for at, each in enumerate(positional[: len(args)])]
    return [*found, *texts_for_tensors([*by_place, *(each for each in named if each[0].kind in NAMED)], called)]


def texts_for_tensors(given: Sequence[tuple[Parameter, Any, ConfigPath]], called: str) -> Iterator[Finding]:
    """Yield a finding for each text that is given for a tensor, most often a reference without its `$`."""
    for parameter, value, place in given:
        if isinstance(value, str) and parameter.annotation in TENSORS:
            message = f"`{parameter.name}` of `{called}` is a tensor, not the text `{value}`."
            yield Finding(message, WRONG, place, hint=f"Write `${value}` for the value of that name.")


def signature_of(way: Callable[..., Any]) -> Signature:
    return signatures_of(way)[0]


def knowing(names: Mapping[str, None], first: Signature, taken: int) -> Callable[..., Any]:
    """Return a stand-in that takes all names that any overload does, but those that stand first, and any positions."""
    by_place = [each.name for each in first.parameters.values() if each.kind in POSITIONAL][:taken]
    named = [by_name(each) for each in names if each not in by_place]
    return stand_in([Parameter("args", Parameter.VAR_POSITIONAL), *named])
