"""transform.torchvision: a transform of images by its name in torchvision's v2."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from otrainer.errors import ConfigError, nearest

MODULE = "torchvision.transforms.v2"


def torchvision_transform(
    transform: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Build a transform of torchvision.transforms.v2.

    `transform` is the name of its class, such as `RandomCrop`. `args` and `kwargs` are what it is built with.
    Raises ConfigError where torchvision is not installed, or has no such class.
    """
    try:
        module = importlib.import_module(MODULE)
    except ImportError as cause:
        message = "`transform.torchvision` needs the package torchvision, which is not installed."
        hint = "Run `pip install 'otrainer[vision]'`."
        raise ConfigError(message, title="torchvision is not installed", hint=hint) from cause
    found = getattr(module, transform, None)
    if isinstance(found, type):
        return found(*(args or ()), **(kwargs or {}))
    classes = [name for name, value in vars(module).items() if isinstance(value, type)]
    message, near = f"torchvision.transforms.v2 has no transform `{transform}`.", nearest(transform, classes)
    hint = "Write the name of one of its classes, such as `RandomHorizontalFlip`."
    raise ConfigError(message, title="unknown transform", config_path=("transform",), suggestions=near, hint=hint)
