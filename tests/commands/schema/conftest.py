"""The schema of what the repository ships, made in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otrainer.commands.schema import schema_of
from otrainer.config.settings import Settings
from otrainer.registry import build_registry, load_plugins
from otrainer.registry.describe.interface import interface_of

ROOT = Path(__file__).parents[3]
PLUGINS = tuple(sorted(f"extensions.{each.stem}" for each in ROOT.glob("extensions/[a-z]*.py")))


@pytest.fixture(scope="module")
def interfaces() -> list[dict[str, Any]]:
    """What is built in, and what the shipped plugins register."""
    registry = build_registry()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        settings = Settings(allowed_import_prefixes=("extensions.",))
        load_plugins(PLUGINS, registry=registry, settings=settings)
    return [interface_of(registry, built_in=True), interface_of(registry, built_in=False)]


@pytest.fixture(scope="module")
def schema(interfaces: list[dict[str, Any]]) -> dict[str, Any]:
    return schema_of(interfaces)
