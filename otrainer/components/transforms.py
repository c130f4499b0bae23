"""transform.torchvision: a transform of images by its name in torchvision's v2."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import torch

from otrainer.errors import ConfigError, nearest
from otrainer.registry import validate_kwargs

MODULE = "torchvision.transforms.v2"
ENUMS = {"interpolation": "InterpolationMode", "policy": "AutoAugmentPolicy"}


def torchvision_transform(
    transform: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Build a transform of torchvision.transforms.v2.

    `transform` is the name of its class, such as `RandomCrop`. `args` and `kwargs` are what it is built with, where
    `dtype`, `interpolation` and `policy` are written as words: `float32`, `bilinear`, `cifar10`. Those that take other
    transforms, such as `RandomApply`, are given a list of specs.
    Raises ConfigError where torchvision is not installed or not for this torch, or has no such class or argument.
    """
    module = torchvision_module()
    found = getattr(module, transform, None)
    if isinstance(found, type):
        given = {name: valued(module, name, value) for name, value in (kwargs or {}).items()}
        validate_kwargs(found, kwargs=given, policy="best_effort", config_path=("kwargs",))
        return found(*(args or ()), **given)
    classes = [name for name, value in vars(module).items() if isinstance(value, type)]
    message, near = f"torchvision.transforms.v2 has no transform `{transform}`.", nearest(transform, classes)
    hint = "Write the name of one of its classes, such as `RandomHorizontalFlip`."
    raise ConfigError(message, title="unknown transform", config_path=("transform",), suggestions=near, hint=hint)


def torchvision_module() -> Any:
    """Import torchvision's transforms, at the first of them that a config has."""
    try:
        return importlib.import_module(MODULE)
    except ImportError as cause:
        message = "`transform.torchvision` needs the package torchvision, which is not installed."
        hint = "Run `pip install 'otrainer[vision]'`."
        raise ConfigError(message, title="torchvision is not installed", hint=hint) from cause
    except RuntimeError as cause:  # operator torchvision::nms does not exist
        message = f"The torchvision that is installed was made for another torch: {cause}."
        hint = "Install the two that belong together: `pip install -U torch torchvision`."
        raise ConfigError(message, title="torchvision does not fit torch", hint=hint) from cause


def valued(module: Any, name: str, value: Any) -> Any:
    """Return an argument with torch's dtype or torchvision's constant in the place of a word for it."""
    if not isinstance(value, str) or name not in (*ENUMS, "dtype"):
        return value
    if name == "dtype":
        known: dict[str, Any] = {key: each for key, each in vars(torch).items() if isinstance(each, torch.dtype)}
    else:
        kind: type[Enum] = getattr(module, ENUMS[name])
        known = {each.value: each for each in kind}
    if value in known:
        return known[value]
    message, near = f"There is no {name} `{value}`.", nearest(value, known)
    hint = f"Write `{name}: {next(iter(known))}`, say."
    raise ConfigError(message, title="unknown value", config_path=("kwargs", name), suggestions=near, hint=hint)
