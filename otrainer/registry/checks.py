"""What is checked the moment something is registered."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from otrainer.errors import ConfigError, Finding, SourceLocation, nearest
from otrainer.registry.build.signature import NAMED
from otrainer.registry.contracts import breaches
from otrainer.registry.effects import WHOLE
from otrainer.registry.locations import display_origin

KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*", re.ASCII)
DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
REFERENCE = re.compile(f"{DOTTED}:{DOTTED}", re.ASCII)


class Registered(Protocol):
    """An entry that may already hold a name."""

    @property
    def at(self) -> SourceLocation | None: ...


def refuse(findings: Iterable[Finding], at: SourceLocation | None) -> None:
    """Raise all findings, each at the line that registers."""
    placed = [
        Finding(
            item.message,
            item.title,
            (),
            location=at,
            on_key=False,
            suggestions=item.suggestions,
            hint=item.hint,
            related=item.related,
        )
        for item in findings
    ]
    if placed:
        raise ConfigError.of(placed)


def check_module(name: object, factory: object, policy: object, policies: Sequence[str]) -> list[Finding]:
    """Return findings on registering `factory` as a component, whatever else is registered."""
    return [
        *check_name(name, "key"),
        *check_policy(policy, name, policies),
        *check_factory(factory, name),
        *check_contract(name, factory),
    ]


def check_name(name: object, kind: str) -> list[Finding]:
    if isinstance(name, str) and KEY.fullmatch(name):
        return []
    message = f"{name!r} cannot be a{'n' if kind == 'op' else ''} {kind}."
    hint = "Use letters, digits, `_` and `-`, in parts that are joined by dots, as in `loss.my_team.focal`."
    return [Finding(message, "invalid registration", hint=hint)]


def check_policy(policy: object, name: object, policies: Sequence[str]) -> list[Finding]:
    if policy in policies:
        return []
    message = f"`{policy}` is no signature policy (registering `{name}`)."
    hint = f"The policies are {', '.join(policies)}."
    return [Finding(message, "invalid registration", suggestions=nearest(str(policy), policies), hint=hint)]


def check_factory(factory: object, name: object) -> list[Finding]:
    if callable(factory) or (isinstance(factory, str) and REFERENCE.fullmatch(factory)):
        return []
    message = f"`{name}` is registered with {factory!r}, which cannot be called."
    hint = 'Give a class, a function, or a string such as "package.module:attr".'
    return [Finding(message, "invalid registration", hint=hint)]


def check_promises(name: object, factory: object, given: object) -> list[Finding]:
    """Return findings on `without_effect`: it says argument names, as a list or as a mapping to others."""
    hint = 'Name arguments of what is registered, as in `without_effect=["num_workers"]`, or all of it by `["*"]`.'
    if isinstance(given, str) or not isinstance(given, Iterable):
        message = f"`without_effect` of `{name}` is a list of arguments, not {given!r}."
        return [Finding(message, "invalid registration", hint=hint)]
    names = [*given, *chain.from_iterable(given.values())] if isinstance(given, Mapping) else list(given)
    known = arguments_of(factory)
    wrong = [each for each in names if not isinstance(each, str) or (known is not None and each not in known)]
    return [
        Finding(
            f"`{name}` has no argument {each!r}, of which `without_effect` speaks.",
            "invalid registration",
            suggestions=nearest(str(each), known or ()),
            hint=hint,
        )
        for each in wrong
    ]


def arguments_of(factory: object) -> list[str] | None:
    """Return what may stand in `without_effect` for a factory; None where it takes any name, or does not say."""
    try:
        parameters = inspect.signature(factory).parameters.values() if callable(factory) else ()
    except (ValueError, TypeError):
        return None
    if not callable(factory) or any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return [WHOLE, *(each.name for each in parameters if each.kind in NAMED)]


def check_taken(name: object, entries: Mapping[str, Registered], kind: str) -> list[Finding]:
    earlier = entries.get(name) if isinstance(name, str) else None
    if earlier is None:
        return []
    message = f"The {kind} `{name}` is taken: it {first_registration(earlier.at)}."
    return [Finding(message, "duplicate registration", hint="Choose another name.")]


def first_registration(at: SourceLocation | None) -> str:
    """Describe how a name came to be registered."""
    return "is built in" if at is None else f"was registered at {display_origin(at)}"


def check_contract(name: object, factory: object) -> list[Finding]:
    found = breaches(name, factory) if isinstance(name, str) else ()
    return [
        Finding(f"`{name}`: {item.message}", "invalid component", suggestions=item.suggestions, hint=item.hint)
        for item in found
    ]


def doc_of(factory: object, doc: str | None) -> str:
    """Return the first line of a factory's `doc` or docstring, unless `dataclass` generated it."""
    text = doc if doc is not None else None if isinstance(factory, str) else getattr(factory, "__doc__", None)
    line = next(iter((text or "").strip().splitlines()), "")
    generated = doc is None and line.startswith(f"{getattr(factory, '__name__', '')}(")
    return "" if generated else line
