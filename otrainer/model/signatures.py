"""How a graph's modules are called, as far as that is known before they are built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from otrainer.errors import ConfigError
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.model.nodes import Calls


def forward_of(name: str, calls: Calls) -> Callable[..., Any] | None:
    """A function that is called as the module `name` will be; None where only building it would tell."""
    spec = calls.modules[name].spec
    key = spec.get("_type_") if is_spec(spec) else None
    if not isinstance(key, str) or key not in calls.registry.list_modules():
        return None
    try:
        cls = calls.registry.get_module(key).target
    except ConfigError:
        return None  # said where the module is written
    if not isinstance(cls, type) or not issubclass(cls, nn.Module) or cls.__call__ is not nn.Module.__call__:
        return None
    return bound(cls.forward) if inspect.isfunction(cls.forward) else None


def bound(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """A stand-in with the signature that `function` has once it is bound to an instance."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return None

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return function(None, *args, **kwargs)

    stand_in.__signature__ = signature.replace(parameters=parameters[1:])  # type: ignore[attr-defined]
    return stand_in
