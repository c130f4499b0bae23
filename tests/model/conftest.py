"""Shared by the tests of models: random numbers that are the same each time, and models straight from a section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from otrainer.config import Settings
from otrainer.errors import ConfigError, Finding
from otrainer.model import GeneratedModel, assemble, check_model, compile_model
from otrainer.registry import Registry, build_registry


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def registry() -> Registry:
    return build_registry()


@pytest.fixture
def make(registry: Registry) -> Callable[[dict[str, Any]], GeneratedModel]:
    """A model from a `model` section."""
    return lambda section: assemble(compile_model(section, registry=registry), registry, Settings())


@pytest.fixture
def findings(registry: Registry) -> Callable[[object], list[Finding]]:
    """What is found wrong with a `model` section; compiling it must fail with the same."""

    def check(section: object) -> list[Finding]:
        found = check_model(section, registry=registry)
        if found:
            with pytest.raises(ConfigError) as caught:
                compile_model(section, registry=registry)
            assert set(caught.value.findings) == set(found)
        return found

    return check
