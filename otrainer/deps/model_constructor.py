"""What plugins need of configs, registry and models, under one name. Only `build_model` brings torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otrainer.config import Settings, SourceMap, resolve_config
from otrainer.errors import ConfigError
from otrainer.registry import Registry, instantiate_value, validate_kwargs

if TYPE_CHECKING:
    from otrainer.model import build_model

__all__ = [
    "ConfigError", "Registry", "Settings", "SourceMap", "build_model", "instantiate_value", "resolve_config",
    "validate_kwargs",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Return `build_model`, imported when it is asked for."""
    if name != "build_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otrainer.model import build_model

    return build_model
