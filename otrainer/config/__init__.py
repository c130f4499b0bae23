"""YAML text becomes one tree of plain data whose values know where they were written."""

from __future__ import annotations

from otrainer.config.limits import Limits
from otrainer.config.reads import Reads
from otrainer.config.resolve import ResolvedConfig, resolve_config
from otrainer.config.settings import Settings, module_allowed
from otrainer.config.source_map import SourceMap

__all__ = [
    "Limits",
    "Reads",
    "ResolvedConfig",
    "Settings",
    "SourceMap",
    "module_allowed",
    "resolve_config",
]
