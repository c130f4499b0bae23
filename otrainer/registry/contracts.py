"""What each kind of component must offer, by its protocol, checked when its class is registered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType

from otrainer import protocols
from otrainer.errors import nearest


@dataclass(frozen=True, slots=True)
class Method:
    """A method as the trainer calls it: `positional` values in order, `keywords` by name."""

    name: str
    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    required: bool

    @classmethod
    def of(cls, function: FunctionType) -> Method:
        """Return a method that a protocol defines."""
        given = inspect.signature(function).parameters.values()
        keywords = tuple(part.name for part in given if part.kind is part.KEYWORD_ONLY)
        positional = tuple(part.name for part in given if part.kind is not part.KEYWORD_ONLY)[1:]
        return cls(function.__name__, positional, keywords, required=not protocols.is_optional(function))

    def __str__(self) -> str:
        star = ("*",) if self.keywords else ()
        return f"{self.name}({', '.join((*self.positional, *star, *self.keywords))})"


@dataclass(frozen=True)
class Contract:
    """The protocol of the components under one key prefix; `reserved` begins names that only its methods may have.

    With `near_only` a method of another name is the plugin's own affair, unless it looks like a known one misspelt.
    """

    prefix: str
    role: str
    protocol: type
    reserved: str = ""
    near_only: bool = False

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """Return the methods of the protocol, in its order."""
        functions = [found for found in vars(self.protocol).values() if isinstance(found, FunctionType)]
        return tuple(Method.of(each) for each in functions if each.__name__ == "__call__" or each.__name__[0] != "_")


@dataclass(frozen=True, slots=True)
class Breach:
    """One way in which a class breaks its contract."""

    message: str
    suggestions: tuple[str, ...] = ()
    hint: str = ""


CONTRACTS = (
    Contract("trainer.", "a trainer", protocols.Trainer),
    Contract("data.", "a data module", protocols.DataModule),
    Contract("batch_sampler.", "a batch sampler", protocols.BatchSampler),
    Contract("sampler.", "a sampler", protocols.Sampler),
    Contract("io.", "an IO component", protocols.IO),
    Contract("loss.", "a loss", protocols.Loss),
    Contract("metric.", "a metric", protocols.Metric),
    Contract("optim_factory.", "an optimizer factory", protocols.OptimizerFactory),
    Contract("sched_factory.", "a scheduler factory", protocols.SchedulerFactory),
    Contract("cb.", "a callback", protocols.Callback, reserved="on_"),
    Contract("log.", "a logger", protocols.Logger, reserved="log_", near_only=True),
)
KNOWN_HOOKS = protocols.HOOKS
NEAR = 0.8  # of difflib: a letter or two apart
STATE = SAVES, LOADS = "state_dict", "load_state_dict"
SAVED = ("on_save", "on_load")
NEAR_STATE = 0.85  # `load_state` is a name that may mean something else
PLUGIN_PREFIXES = (*(contract.prefix for contract in CONTRACTS), "dataset.")


def breaches(key: str, factory: object) -> Iterator[Breach]:
    """Yield how the class `factory` breaks the contract of `key`'s prefix; functions and names are not looked into."""
    contract = next((row for row in CONTRACTS if key.startswith(row.prefix)), None)
    if contract is None or not isinstance(factory, type) or answers_any_name(factory):
        return
    yield from missing(contract, factory)
    yield from misspelt(contract, factory)
    yield from unfit(contract, factory)
    yield from half_stateful(contract, factory)
    if contract.reserved == "on_":
        yield from half_hooked(factory)


def half_stateful(contract: Contract, cls: type) -> Iterator[Breach]:
    """Yield that a class returns a state which nothing could give back to it, or the other way round."""
    from difflib import get_close_matches

    own = [name for name in methods(cls) if name not in STATE]
    lacks = [name for name in STATE if defined(cls, name) is None]
    near = {name: tuple(get_close_matches(name, own, n=1, cutoff=NEAR_STATE)) for name in lacks}
    if lacks == [LOADS]:
        message = f"`{cls.__name__}` has `{SAVES}` and no `{LOADS}`: after a resume its state would be gone."
        hint = f"Define `{LOADS}(self, state)`, or neither: its attributes are kept then."
        yield Breach(message, near[LOADS] or nearest(LOADS, own, most=1), hint)
    elif lacks == [SAVES]:
        message = f"`{cls.__name__}` has `{LOADS}` and no `{SAVES}`: nothing would be saved that it could load."
        yield Breach(message, near[SAVES], f"Define `{SAVES}(self)`, or neither: its attributes are kept then.")
    elif lacks:
        for name, found in near.items():
            if found:
                message = f"`{cls.__name__}.{found[0]}` is never called: a component saves itself by `{SAVES}`."
                yield Breach(message, (name,), f"Define `{SAVES}(self)` and `{LOADS}(self, state)`, or neither.")


def half_hooked(cls: type) -> Iterator[Breach]:
    """Yield that a callback keeps its state in two ways, or by one half of a way."""
    there = [name for name in SAVED if defined(cls, name) is not None]
    also = [name for name in STATE if defined(cls, name) is not None]
    if there and also:
        message = f"`{cls.__name__}` has `{there[0]}` and `{also[0]}`: a callback keeps its state in one of two ways."
        yield Breach(message, hint=f"Let `{SAVED[0]}` return what `{SAVES}` does, or leave the hooks out.")
    elif len(there) == 1:
        other = next(name for name in SAVED if name not in there)
        message = f"`{cls.__name__}` has `{there[0]}` and no `{other}`: nothing would come back by a resume."
        yield Breach(message, hint=f"Define `{other}` too, or neither: its attributes are kept then.")


def missing(contract: Contract, cls: type) -> Iterator[Breach]:
    """Yield the required methods that a class lacks."""
    own = [name for name in methods(cls) if not name.startswith("__")]
    for method in contract.methods:
        if method.required and defined(cls, method.name) is None:
            message = f"`{cls.__name__}` has no `{method.name}`, which {contract.role} needs."
            yield Breach(message, nearest(method.name, own, most=1), f"Define `{method}`.")


def misspelt(contract: Contract, cls: type) -> Iterator[Breach]:
    """Yield the methods that are named like hooks, and are none."""
    from difflib import get_close_matches

    known = [method.name for method in contract.methods]
    for name in methods(cls):
        if contract.reserved and name.startswith(contract.reserved) and name not in known:
            message = f"`{cls.__name__}.{name}` is never called: no trainer knows it."
            own = [hook for hook in known if hook.startswith(contract.reserved)]
            if contract.near_only and not get_close_matches(name, own, cutoff=NEAR):
                continue
            yield Breach(message, nearest(name, own), f"{contract.role.capitalize()} may define {', '.join(known)}.")


def unfit(contract: Contract, cls: type) -> Iterator[Breach]:
    """Yield the methods that do not take what they will be given."""
    for method in contract.methods:
        signature = signature_of_method(cls, method.name)
        if signature is None:
            continue
        try:
            signature.bind(*method.positional, **dict.fromkeys(method.keywords))
        except TypeError as cause:
            message = f"`{cls.__name__}.{method.name}{signature}` does not take what {contract.role} is given: {cause}."
            yield Breach(message, hint=f"It is called as `{method}`.")


def signature_of_method(cls: type, name: str) -> inspect.Signature | None:
    """Return how instances of `cls` are called under `name`; None where no plain function says so."""
    found = defined(cls, name)
    if isinstance(found, FunctionType):
        full = inspect.signature(found)
        parameters = list(full.parameters.values())
        bound = parameters if parameters and parameters[0].kind is parameters[0].VAR_POSITIONAL else parameters[1:]
        return full.replace(parameters=bound, return_annotation=inspect.Signature.empty)
    if isinstance(found, staticmethod | classmethod):
        return inspect.signature(getattr(cls, name))
    return None


def defined(cls: type, name: str) -> object | None:
    """Return what `cls` or a base holds under `name`, read without running a descriptor; a protocol's own is none."""
    bases = [base for base in cls.__mro__ if base.__module__ != protocols.__name__]
    return next((vars(base)[name] for base in bases if name in vars(base)), None)


def methods(cls: type) -> list[str]:
    """Return the names of the functions that `cls` and its bases define, in a fixed order."""
    kinds = (FunctionType, staticmethod, classmethod)
    return [name for name in sorted(dir(cls)) if isinstance(defined(cls, name), kinds)]


def answers_any_name(cls: type) -> bool:
    """Return whether instances make up attributes in a `__getattr__` of their own (torch's only finds parameters)."""
    hook = getattr(cls, "__getattr__", None)
    return hook is not None and not str(getattr(hook, "__module__", "")).startswith("torch.")
