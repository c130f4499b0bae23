"""Classes that a config names by a key and gives plain arguments, as optimizers and schedulers of torch are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from otrainer.errors import ConfigError
from otrainer.registry import Registry, validate_kwargs

T = TypeVar("T")
EXAMPLES = {"optimizer": "optim_cls.AdamW", "scheduler": "sched_cls.StepLR"}


def checked_key(key: str, prefix: str, section: str) -> str:
    """`key` itself; raises ConfigError unless it is a key of the family `prefix`."""
    if not isinstance(key, str) or not key.startswith(prefix):
        raise ConfigError(
            f"`{section}.type` is a key of the family `{prefix}*`, not `{key}`.",
            title="wrong kind of class",
            config_path=(section, "type"),
            suggestions=(f"{prefix}{key}",) if isinstance(key, str) and "." not in key else (),
            hint=f"Write a key of that family, such as `{EXAMPLES[section]}`.",
        )
    return key


def checked_class(registry: Registry, key: str, kwargs: dict[str, Any], section: str) -> Callable[..., Any]:
    """Return the class behind a key; raises ConfigError where there is none, or it does not take `kwargs`."""
    entry = registry.get_module(key)
    path = (section, "kwargs")
    validate_kwargs(entry.target, kwargs=kwargs, policy=entry.signature_policy, config_path=path, skip=1)
    return entry.target


def build_torch(cls: Callable[..., T], first: Any, args: Sequence[Any], kwargs: dict[str, Any], section: str) -> T:
    """`cls(first, *args, **kwargs)`; what torch has against the arguments becomes a ConfigError for the section."""
    try:
        return cls(first, *args, **kwargs)
    except (TypeError, ValueError, RuntimeError, AssertionError) as cause:
        name, title = getattr(cls, "__name__", cls), "could not build"
        place = (section, "kwargs") if kwargs else (section,)
        message = f"`{name}` does not take these arguments: {cause}"
        hint = f"Change `{section}.kwargs`; the documentation of torch says what `{name}` takes."
        raise ConfigError(message, title=title, config_path=place, hint=hint) from cause
