"""Models without their numbers: built on the meta device, where a parameter takes no memory and nothing is drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from otrainer.errors import ConfigError
from otrainer.model.build import assemble, build_module
from otrainer.model.lazy import random_states_kept

if TYPE_CHECKING:
    from otrainer.config import Settings
    from otrainer.model.ir import ModelIR, ModuleSpec
    from otrainer.registry.core import Registry

META = torch.device("meta")
# What makes tensors whose numbers stand nowhere in the program.
NUMBERLESS = (torch.empty, torch.empty_strided, torch.empty_permuted)
# On the meta device the first of these imports half of torch.
RANDOM = (torch.rand, torch.randn)
CONTAINERS = (dict, list)
DRAWING = tuple(
    getattr(torch.Tensor, f"{name}_")
    for name in ("normal", "uniform", "bernoulli", "exponential", "log_normal", "cauchy", "geometric", "random")
)


def blueprint(ir: ModelIR, registry: Registry, settings: Settings) -> nn.Module:
    """Build the model of an IR with parameters and buffers on the meta device; random states are as they were.

    Raises:
        ConfigError: the failure of a module's constructor at the place of its spec.
    """
    with random_states_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that cannot be copied to where there are none
        return assemble(ir, registry, settings, build=build_empty)


def build_empty(module: ModuleSpec, registry: Registry, settings: Settings) -> nn.Module:
    """Build a submodule without numbers.

    A constructor that reads values (`torch.linspace(...).tolist()`) gets real ones, as far as it makes them of others;
    one that needs those of its parameters is run as training would run it, so that only what fails there is wrong.
    """
    for place in (META, Valued()):
        try:
            with place, Undrawn():
                return emptied(build_module(module, registry, settings))
        except ConfigError:
            continue  # what is wrong shows in the last try, which leaves nothing out
    return emptied(build_module(module, registry, settings))


class Undrawn(TorchFunctionMode):
    """Draws no numbers: on the meta device there are none, and trying takes most of a trial."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if draws(func) and (drawn := args[0] if args else kwargs.get("tensor")) is not None and drawn.is_meta:
            return drawn
        if func in RANDOM and kwargs.get("device") is None and kwargs.get("out") is None:
            func, kwargs = torch.empty, {name: value for name, value in kwargs.items() if name != "generator"}
        return func(*args, **kwargs)


def draws(func: Callable[..., Any]) -> bool:
    """Return whether a call only gives its first argument other numbers."""
    return func in DRAWING or (func.__name__.endswith("_") and getattr(func, "__module__", None) == "torch.nn.init")


@contextmanager
def without_numbers() -> Iterator[None]:
    """Let what is built in the block take no memory for its numbers and draw none."""
    with random_states_kept(), Valued(), Undrawn():
        yield


class Valued(TorchFunctionMode):
    """Puts on the meta device only what has no numbers yet; a tensor that is made of values has them."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in NUMBERLESS and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": META}
        return func(*args, **kwargs)


def emptied(module: nn.Module) -> nn.Module:
    """Put a module's tensors on the meta device; of a kind that cannot be there, they stay where they are."""

    def empty(tensor: torch.Tensor) -> torch.Tensor:
        try:
            return tensor if tensor.device == META else empty_like(tensor, META)
        except (RuntimeError, TypeError):
            return tensor

    return remade(module, empty)


def remade(module: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """Change each tensor of a module, once if it is shared; what was set on a parameter stays."""
    made: dict[int, torch.Tensor] = {}
    seen: set[int] = set()
    for place, key, tensor in [found for each in module.modules() for found in tensors_in(vars(each), seen)]:
        if id(tensor) not in made:
            made[id(tensor)] = as_it_was(tensor, change(tensor))
        place[key] = made[id(tensor)]
    return module


def tensors_in(place: Any, seen: set[int]) -> Iterator[tuple[Any, Any, torch.Tensor]]:
    """Yield each tensor in a dict or list, and in those in it that were not `seen`, as `(container, key, tensor)`."""
    seen.add(id(place))
    for key, value in place.items() if isinstance(place, dict) else enumerate(place):
        if isinstance(value, torch.Tensor):
            yield place, key, value
        elif value and isinstance(value, CONTAINERS) and id(value) not in seen:
            yield from tensors_in(value, seen)


def as_it_was(tensor: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Return `new` as a parameter if `tensor` is one, with what was set on it."""
    if new is tensor or not isinstance(tensor, nn.Parameter):
        return new
    parameter = new if is_lazy(new) else nn.Parameter(new, tensor.requires_grad)
    vars(parameter).update(vars(tensor))
    return parameter


def empty_like(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the same size and layout on `device`; a lazy one is still without a shape."""
    if is_lazy(tensor):
        lazy: Any = type(tensor)
        made: torch.Tensor = lazy(requires_grad=tensor.requires_grad, device=device, dtype=tensor.dtype)
        return made
    return torch.empty_like(tensor, device=device, requires_grad=False)


def model_summary(model: nn.Module) -> dict[str, Any]:
    """Return its inputs by name, its layers by class, and the number of its parameters (without lazy ones)."""
    counted = [parameter.numel() for parameter in model.parameters() if not is_lazy(parameter)]
    layers = {name: type(module).__name__ for name, module in model.named_modules() if name}
    return {"inputs": list(getattr(model, "inputs", ())), "layers": layers, "parameters": sum(counted)}
