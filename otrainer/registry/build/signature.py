"""Whether arguments fit what is called, judged from its signature before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import Parameter, Signature
from typing import Any, get_overloads

from otrainer.errors import ConfigError, ConfigPath, Finding, nearest
from otrainer.registry.describe.annotations import Values, plain_only
from otrainer.registry.describe.parameters import maker_of, values_taken
from otrainer.registry.describe.wrong_values import wrong_values

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
OPEN = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as a config writes it; the first `skip` positional arguments come from the caller, not from the config.

    `places` holds the config paths of keywords that are not written directly under `path`. Where arguments are `plain`,
    nothing in them is built.
    """

    called: str
    args: Sequence[object]
    kwargs: Mapping[str, object]
    path: ConfigPath
    skip: int = 0
    places: Mapping[str, ConfigPath] = field(default_factory=dict)
    args_key: str = "_args_"
    plain: bool = False

    def place(self, keyword: str) -> ConfigPath:
        return self.places.get(keyword, (*self.path, keyword))


def validate_kwargs(
    target: Callable[..., Any],
    *,
    kwargs: Mapping[str, object],
    policy: str,
    config_path: ConfigPath,
    skip: int = 0,
) -> None:
    """Check the names in `kwargs` against the signature of `target`; the first `skip` parameters are the caller's.

    Under `strict` every name must be in a readable signature, under `best_effort` only where one can be read, and
    under `runtime_only` nothing is checked.

    Raises:
        ConfigError: all names that `target` does not take, each at its key.
    """
    call = Call(display_name(target), (), kwargs, tuple(config_path), skip)
    findings = [finding for finding in judge(target, call, policy) if finding.title not in (MISSING, WRONG)]
    if findings:
        raise ConfigError.of(findings)


def check_call(
    target: Callable[..., Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    policy: str,
    config_path: ConfigPath,
    *,
    skip: int = 0,
    called: str = "",
    places: Mapping[str, ConfigPath] | None = None,
    args_key: str = "_args_",
    plain: bool = False,
) -> list[Finding]:
    """Return findings on calling `target(*args, **kwargs)`.

    They tell of unknown, missing, doubled and surplus arguments, and of values that cannot be what their parameters'
    annotations or defaults say.
    """
    call = Call(called or display_name(target), args, kwargs, tuple(config_path), skip, places or {}, args_key, plain)
    return judge(target, call, policy)


MISSING = "missing argument"
UNKNOWN = "unknown argument"
DOUBLED = "argument given twice"
SURPLUS = "too many arguments"
WRONG = "wrong type"


def judge(target: Callable[..., Any], call: Call, policy: str) -> list[Finding]:
    """Return the findings under the signature that fits best: a target may be written with several overloads."""
    if policy == "runtime_only":
        return []
    signatures = signatures_of(target)
    if not signatures:
        return [] if policy == "best_effort" else [unreadable(call)]
    values = values_of_all(target)
    return min((list(misfits(*each, call)) for each in zip(signatures, values, strict=True)), key=len)


def signatures_of(target: Callable[..., Any]) -> list[Signature]:
    """Return `readable_signatures`, computed once for each target that has a hash."""
    try:
        return remembered_signatures(target)
    except TypeError:  # it has no hash
        return readable_signatures(target)


@lru_cache(maxsize=1024)
def remembered_signatures(target: Callable[..., Any]) -> list[Signature]:
    return readable_signatures(target)


def values_of_all(target: Callable[..., Any]) -> list[dict[str, Values]]:
    """Return which values the parameters take by name, for each of `signatures_of`; computed once as those are."""
    try:
        return remembered_values(target)
    except TypeError:  # it has no hash
        return readable_values(target)


@lru_cache(maxsize=1024)
def remembered_values(target: Callable[..., Any]) -> list[dict[str, Values]]:
    return readable_values(target)


def readable_values(target: Callable[..., Any]) -> list[dict[str, Values]]:
    maker = maker_of(target)
    return [
        {name: values_taken(parameter, maker) for name, parameter in signature.parameters.items()}
        for signature in signatures_of(target)
    ]


def readable_signatures(target: Callable[..., Any]) -> list[Signature]:
    """Return the ways in which `target` may be called; empty where Python cannot tell.

    A class whose constructor only passes `*args, **kwargs` on is read from its overloads where it has some.
    """
    constructor = getattr(target, "__init__", None) if isinstance(target, type) else None
    if takes_nothing(target):
        return [Signature()]
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):
        return []
    if constructor is None or not is_open(signature):
        return [signature]
    overloads = [without_self(inspect.signature(overload)) for overload in get_overloads(constructor)]
    return [overload for overload in overloads if not is_open(overload)] or [signature]


def takes_nothing(target: object) -> bool:
    """Return whether `torch.nn.Module.__init__` constructs: it takes `*args, **kwargs`, and refuses them all."""
    bases = target.__mro__ if isinstance(target, type) else ()
    owner = next((base for base in bases if "__init__" in vars(base)), None)
    return owner is not None and (owner.__module__, owner.__qualname__) == ("torch.nn.modules.module", "Module")


def is_open(signature: Signature) -> bool:
    return [parameter.kind for parameter in signature.parameters.values()] == list(OPEN)


def without_self(signature: Signature) -> Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def misfits(signature: Signature, values: Mapping[str, Values], call: Call) -> Iterator[Finding]:
    parameters = list(signature.parameters.values())
    positional = [parameter for parameter in parameters if parameter.kind in POSITIONAL]
    taken = [parameter.name for parameter in positional[: call.skip + len(call.args)]]
    open_kinds = {parameter.kind for parameter in parameters if parameter.kind in OPEN}
    yield from surplus(call, len(positional), open_ended=Parameter.VAR_POSITIONAL in open_kinds)
    names = [parameter.name for parameter in parameters if parameter.kind in NAMED]
    wrong = list(wrong_names(call, names, taken, open_ended=Parameter.VAR_KEYWORD in open_kinds))
    yield from wrong
    needed = {parameter.name for parameter in parameters if parameter.default is Parameter.empty}
    for name, value, place in given(call, parameters, positional):
        admitted = plain_only(values[name]) if call.plain else values[name]
        yield from wrong_values(name, value, admitted, place, call.called, needed=name in needed)
    meant = [name for finding in wrong for name in finding.suggestions[:1]]
    yield from missing(call, parameters, [*taken, *meant])


def surplus(call: Call, most: int, *, open_ended: bool) -> Iterator[Finding]:
    room = max(0, most - call.skip)
    if not open_ended and len(call.args) > room:
        message = f"`{call.called}` takes {count(room)}, but {len(call.args)} are given."
        hint = "Leave the others out, or give them by name."
        yield Finding(message, SURPLUS, (*call.path, call.args_key, room), hint=hint)


def count(number: int) -> str:
    many = {0: "no positional arguments", 1: "one positional argument"}
    return many.get(number, f"at most {number} positional arguments")


def wrong_names(call: Call, names: list[str], taken: list[str], *, open_ended: bool) -> Iterator[Finding]:
    free = [name for name in names if name not in taken]
    for name in call.kwargs:
        place = call.place(name)
        if not isinstance(name, str):
            message = f"{name!r} is no argument name: names are text."
            yield Finding(message, UNKNOWN, place, on_key=True, hint=accepted(free))
        elif name in taken and name in names:
            by = "the caller" if name in taken[: call.skip] else "position"
            message = f"`{name}` of `{call.called}` is given by {by} already."
            yield Finding(message, DOUBLED, place, on_key=True, hint=f"Leave `{name}` out here.")
        elif name not in names and not open_ended:
            message = f"`{call.called}` has no argument `{name}`."
            yield Finding(message, UNKNOWN, place, on_key=True, suggestions=nearest(name, free), hint=accepted(free))


def given(
    call: Call, parameters: list[Parameter], positional: list[Parameter]
) -> Iterator[tuple[str, object, ConfigPath]]:
    """Yield each argument that the config gives, with the name of the parameter that takes it and its place."""
    rest = {parameter.kind: parameter.name for parameter in parameters if parameter.kind in OPEN}
    more = rest.get(Parameter.VAR_POSITIONAL)
    names = [*(parameter.name for parameter in positional[call.skip :]), *([more] * len(call.args) if more else ())]
    if len(call.args) <= len(names):  # else it is not clear which are those that are too many
        for index, (name, value) in enumerate(zip(names, call.args, strict=False)):
            yield name, value, (*call.path, call.args_key, index)
    named = {parameter.name for parameter in parameters if parameter.kind in NAMED}
    for keyword, value in call.kwargs.items():
        taker = keyword if keyword in named else rest.get(Parameter.VAR_KEYWORD)
        if taker is not None:
            yield taker, value, call.place(keyword)


def accepted(names: list[str]) -> str:
    return f"It takes {', '.join(names)}." if names else "It takes none."


def missing(call: Call, parameters: list[Parameter], taken: list[str]) -> Iterator[Finding]:
    for parameter in parameters:
        required = parameter.default is Parameter.empty and parameter.kind not in OPEN
        by_name = parameter.kind in NAMED and parameter.name in call.kwargs
        if required and not by_name and parameter.name not in taken:
            message, hint = f"`{call.called}` needs the argument `{parameter.name}`.", f"Add `{parameter.name}: ...`."
            yield Finding(message, MISSING, call.path, hint=hint)


def unreadable(call: Call) -> Finding:
    message = f"The arguments of `{call.called}` cannot be checked: Python cannot read its signature."
    return Finding(message, "no signature", call.path, hint="Register it with signature_policy `best_effort`.")


def display_name(target: object) -> str:
    return str(getattr(target, "__qualname__", None) or type(target).__qualname__)
