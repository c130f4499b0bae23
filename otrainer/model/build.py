"""From a config to a model: plugins, checks, submodules in their order, and the class that connects them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import nn

from otrainer.config import ResolvedConfig, resolve_config
from otrainer.errors import ConfigError
from otrainer.model.codegen import model_class
from otrainer.model.compile import compile_model
from otrainer.model.components import Components
from otrainer.model.ir import ModuleSpec
from otrainer.model.tie import tie
from otrainer.registry.build.instantiate import instantiate_value
from otrainer.registry.build.secrets import conceal_secrets
from otrainer.registry.builtins import build_registry
from otrainer.registry.plugins.load import load_plugins
from otrainer.storage.project import importable, project_root

if TYPE_CHECKING:
    from otrainer.config import Settings
    from otrainer.model.generated import GeneratedModel
    from otrainer.model.ir import ModelIR
    from otrainer.registry.build.instantiate import Built
    from otrainer.registry.core import Registry

Build: TypeAlias = "Callable[[ModuleSpec, Registry, Settings], nn.Module]"
Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | ResolvedConfig


def build_model(source: Source, registry: Registry | None = None, *, settings: Settings | None = None) -> nn.Module:
    """Build the model of a config (a path, a dict or a resolved config); its `imports` are loaded first.

    Submodules are built in the order in which the config writes them, so that their initial weights under one seed
    depend on the config alone.

    Raises:
        ConfigError: the config does not resolve, a plugin fails, all that is wrong with the `model` section, or the
            failure of a module's constructor at the place of its spec.
    """
    importable(project_root())
    if isinstance(source, ResolvedConfig):
        config = source
    else:
        config = resolve_config(source if isinstance(source, str | Mapping) else Path(source))
    settings = settings or config.settings
    registry = build_registry() if registry is None else registry
    try:
        conceal_secrets(config.data)
        load_plugins(config.data.get("imports"), registry=registry, settings=settings)
        ir = compile_model(config.data.get("model"), registry=registry, settings=settings)
        return assemble(ir, registry, settings)
    except ConfigError as error:
        raise error.located(config.source_map) from error.__cause__


def assemble(ir: ModelIR, registry: Registry, settings: Settings, *, build: Build | None = None) -> nn.Module:
    """Build the model of an IR, its submodules by the registry, or by `build`."""
    model = assembled(ir, registry, settings, build or build_module)
    tie(model, ir.ties)
    return model


def assembled(ir: ModelIR, registry: Registry, settings: Settings, build: Build) -> nn.Module:
    """Build the model of an IR, or its parts, with each parameter on its own."""
    if ir.parts:
        model = Components()
        for name, part in ir.parts:
            if isinstance(part, ModuleSpec):
                model.add_module(name, build(part, registry, settings))
            else:
                model.add_module(name, generated(part, registry, settings, build))
        return model
    return generated(ir, registry, settings, build)


def generated(ir: ModelIR, registry: Registry, settings: Settings, build: Build) -> GeneratedModel:
    """Build a model with a forward pass."""
    ops = {name: registry.get_op(name) for name in ir.program.ops}
    model = model_class(ir.program, ops)()
    for module in ir.modules:
        model.add_at(module.name, build(module, registry, settings))
    return model


def build_module(
    module: ModuleSpec, registry: Registry, settings: Settings, built: list[Built] | None = None
) -> nn.Module:
    spec, path = module.spec, module.path  # compiling the model has checked it
    made = instantiate_value(spec, registry=registry, settings=settings, config_path=path, built=built, checked=True)
    if isinstance(made, nn.Module):
        return made
    key = spec.get("_type_", spec.get("_target_"))
    message = f"`{key}` builds a value of type `{type(made).__name__}`, which is no module."
    hint = "Name a component that builds a `torch.nn.Module`."
    raise ConfigError(message, title="no module", config_path=path, hint=hint)
