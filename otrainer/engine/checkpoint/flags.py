"""Which modules are in training mode, and which parameters require gradients, as far as that changed meanwhile.

What stays as it was built comes from the config after a resume; what somebody changed meanwhile is state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from otrainer.engine.loss_modules import loss_modules

Flags = dict[str, dict[str, bool]]


def flags_of(part: Any) -> Flags:
    """Return the flags of all modules and parameters that `part` is or holds, by kind and name."""
    modules = list(named_modules(part))
    return {
        "training": {name: module.training for name, module in modules},
        "requires_grad": {name: parameter.requires_grad for name, parameter in named_parameters(part)},
    }


def changed_flags(now: Flags, built: Flags) -> Flags:
    return {
        kind: {name: flag for name, flag in flags.items() if flag != built.get(kind, {}).get(name)}
        for kind, flags in now.items()
    }


def set_flags(part: Any, flags: Mapping[str, Mapping[str, bool]]) -> None:
    """Set the flags of those that are still there, each module by itself."""
    training, requires = flags.get("training", {}), flags.get("requires_grad", {})
    for name, module in named_modules(part):
        module.training = training.get(name, module.training)
    for name, parameter in named_parameters(part):
        if name in requires and parameter.requires_grad != requires[name]:
            parameter.requires_grad_(requires[name])


def named_modules(part: Any) -> Iterator[tuple[str, Any]]:
    for prefix, module in loss_modules(part).items():
        yield from module.named_modules(prefix=prefix)


def named_parameters(part: Any) -> Iterator[tuple[str, Any]]:
    for prefix, module in loss_modules(part).items():
        yield from module.named_parameters(prefix=prefix)
