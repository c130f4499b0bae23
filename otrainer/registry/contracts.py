"""What each kind of component must offer, checked when its class is registered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType

from otrainer.errors import nearest


@dataclass(frozen=True, slots=True)
class Method:
    """A method as the trainer calls it: `positional` values in order, `keywords` by name."""

    name: str
    positional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    required: bool = True

    def __str__(self) -> str:
        star = ("*",) if self.keywords else ()
        return f"{self.name}({', '.join((*self.positional, *star, *self.keywords))})"


@dataclass(frozen=True, slots=True)
class Contract:
    """The methods of the components under one key prefix; `reserved` begins names that only known methods may have.

    With `near_only` a method of another name is the plugin's own affair, unless it looks like a known one misspelt.
    """

    prefix: str
    role: str
    methods: tuple[Method, ...]
    reserved: str = ""
    near_only: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """One way in which a class breaks its contract."""

    message: str
    suggestions: tuple[str, ...] = ()
    hint: str = ""


HOOKS = (
    Method("on_fit_start", ("ctx",), required=False),
    Method("on_train_step_end", ("ctx",), required=False),
    Method("on_epoch_end", ("ctx",), required=False),
    Method("on_exception", ("ctx", "exc"), required=False),
    Method("on_fit_end", ("ctx",), required=False),
)
KNOWN_HOOKS = tuple(hook.name for hook in HOOKS)

FIT = (
    "model", "datamodule", "io", "loss", "optimizer_factory", "scheduler_factory",
    "metrics", "callbacks", "loggers", "registry", "run",
)  # fmt: skip

CONTRACTS = (
    Contract("trainer.", "a trainer", (Method("fit", keywords=FIT),)),
    Contract("data.", "a data module", (Method("train_dataloader"),)),
    Contract("io.", "an IO component", (Method("split", ("batch",), ("stage",)),)),
    Contract("loss.", "a loss", (Method("__call__", keywords=("outputs", "targets", "batch", "stage")),)),
    Contract(
        "metric.", "a metric", (Method("update", keywords=("outputs", "targets", "batch", "stage"), required=False),)
    ),
    Contract("optim_factory.", "an optimizer factory", (Method("build", ("model",), ("registry",)),)),
    Contract("sched_factory.", "a scheduler factory", (Method("build", ("optimizer",), ("registry",)),)),
    Contract("cb.", "a callback", HOOKS, reserved="on_"),
    Contract(
        "log.",
        "a logger",
        (
            Method("log_hparams", ("hparams",), required=False),
            Method("log_metrics", ("metrics",), ("step", "stage"), required=False),
            Method("close", required=False),
        ),
        reserved="log_",
        near_only=True,
    ),
)
NEAR = 0.8  # of difflib: a letter or two apart
PLUGIN_PREFIXES = (*(contract.prefix for contract in CONTRACTS), "dataset.")


def breaches(key: str, factory: object) -> Iterator[Breach]:
    """How the class `factory` breaks the contract of `key`'s prefix; functions and names are not looked into."""
    contract = next((row for row in CONTRACTS if key.startswith(row.prefix)), None)
    if contract is None or not isinstance(factory, type) or answers_any_name(factory):
        return
    yield from missing(contract, factory)
    yield from misspelt(contract, factory)
    yield from unfit(contract, factory)


def missing(contract: Contract, cls: type) -> Iterator[Breach]:
    own = [name for name in methods(cls) if not name.startswith("__")]
    for method in contract.methods:
        if method.required and defined(cls, method.name) is None:
            message = f"`{cls.__name__}` has no `{method.name}`, which {contract.role} needs."
            yield Breach(message, nearest(method.name, own, most=1), f"Define `{method}`.")


def misspelt(contract: Contract, cls: type) -> Iterator[Breach]:
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
    """How instances of `cls` are called under `name`; None where that is not written down as a plain function."""
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
    """What `cls` or a base holds under `name`, read without running a descriptor."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def methods(cls: type) -> list[str]:
    """Names of the functions that `cls` and its bases define, in a fixed order."""
    kinds = (FunctionType, staticmethod, classmethod)
    return [name for name in sorted(dir(cls)) if isinstance(defined(cls, name), kinds)]


def answers_any_name(cls: type) -> bool:
    """Whether instances make up attributes in a `__getattr__` of the user's own (torch's only finds parameters)."""
    hook = getattr(cls, "__getattr__", None)
    return hook is not None and not str(getattr(hook, "__module__", "")).startswith("torch.")
