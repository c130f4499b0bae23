"""The shape of a model, as people compare it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn.parameter import is_lazy

if TYPE_CHECKING:
    from torch import nn


def model_summary(model: nn.Module) -> dict[str, Any]:
    """Return its inputs by name, its layers by class, and the number of its parameters (without lazy ones)."""
    counted = [parameter.numel() for parameter in model.parameters() if not is_lazy(parameter)]
    layers = {name: type(module).__name__ for name, module in model.named_modules() if name}
    return {"inputs": list(getattr(model, "inputs", ())), "layers": layers, "parameters": sum(counted)}
