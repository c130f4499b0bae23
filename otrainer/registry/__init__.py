"""What a config's keys stand for: the registry, its checks and plugins. Nothing here imports torch."""

from __future__ import annotations

from otrainer.registry.build.instantiate import Built, check_value, instantiate_value
from otrainer.registry.build.signature import check_call, validate_kwargs
from otrainer.registry.builtins import build_registry
from otrainer.registry.contracts import KNOWN_HOOKS
from otrainer.registry.core import Registry
from otrainer.registry.entries import ModuleEntry, OpEntry
from otrainer.registry.plugins.load import load_plugins

__all__ = [
    "KNOWN_HOOKS",
    "Built",
    "ModuleEntry",
    "OpEntry",
    "Registry",
    "build_registry",
    "check_call",
    "check_value",
    "instantiate_value",
    "load_plugins",
    "validate_kwargs",
]
