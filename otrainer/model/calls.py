"""What a graph may call, and with which signatures, as far as these are known before modules are built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from otrainer.errors import ConfigError
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.model.ir import ModuleSpec, Node
    from otrainer.registry.core import Registry


@dataclass(frozen=True, slots=True)
class Calls:
    """What a graph may call: its modules by name, and the registry's ops."""

    modules: Mapping[str, ModuleSpec]
    registry: Registry

    def function_of(self, node: Node) -> Callable[..., Any] | None:
        """Return a function with the signature of what `node` calls; None where only building a module would tell.

        Raises ConfigError where an op cannot be imported.
        """
        return self.registry.get_op(node.target) if node.kind == "op" else self._forward_of(node.target)

    def _forward_of(self, name: str) -> Callable[..., Any] | None:
        spec = self.modules[name].spec
        key = spec.get("_type_") if is_spec(spec) else None
        if not isinstance(key, str) or key not in self.registry.list_modules():
            return None
        try:
            cls = self.registry.get_module(key).target
        except ConfigError:
            return None  # reported where the module is written
        if not isinstance(cls, type) or not issubclass(cls, nn.Module) or cls.__call__ is not nn.Module.__call__:
            return None
        return bound(cls.forward) if inspect.isfunction(cls.forward) else None


def bound(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return a stand-in with the signature that `function` has once it is bound to an instance."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return None

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return function(None, *args, **kwargs)

    stand_in.__signature__ = signature.replace(parameters=parameters[1:])  # type: ignore[attr-defined]
    return stand_in
