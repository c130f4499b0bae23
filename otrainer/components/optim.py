"""Optimizer factories: from a registry key and plain arguments to an optimizer for the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.components.param_groups import check_groups, check_options, grouped
from otrainer.components.torch_classes import build_torch, checked_class, checked_key
from otrainer.engine.checkpoint.optimizer_state import IMPLEMENTATION
from otrainer.engine.optimizer import is_dense
from otrainer.errors import ConfigError
from otrainer.registry.build.signature import signatures_of

if TYPE_CHECKING:
    from otrainer.registry import Registry

WHOLE = (torch.float32, torch.float64)


class TorchOptimizerFactory:
    """Build `type` (an `optim_cls.*` key) over all parameters of the model that train.

    `groups` lists options of their own for some of them, each with `match` (globs on their names, or `re:` and a
    regular expression) or `modules` (classes of the modules that have them, or `norm`); by `lr_scale` the rate is a
    multiple of the optimizer's. A parameter goes to the first group that matches. `no_decay` (`bias`, `norm`, or globs)
    says whose weights do not decay.
    The fused implementation is chosen where class and device have one and the arguments do not say otherwise.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 - the config's key
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        groups: Sequence[Mapping[str, Any]] | None = None,
        no_decay: Sequence[str] | None = None,
    ) -> None:
        check_groups(groups or (), no_decay or ())
        self.groups, self.no_decay = list(groups or ()), list(no_decay or ())
        self.type = checked_key(type, "optim_cls.", "optimizer")
        self.args = list(args or ())
        self.kwargs = dict(kwargs or {})
        self.chose_fused = False

    def build(self, model: torch.nn.Module, *, registry: Registry) -> torch.optim.Optimizer:
        """Return the optimizer. Raises ConfigError for an unknown class or arguments that it does not take."""
        cls: Callable[..., torch.optim.Optimizer] = checked_class(registry, self.type, self.kwargs, "optimizer")
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not parameters:
            message = "The model has no parameter that trains."
            hint = "Add a layer with weights, or freeze fewer of them (`requires_grad`)."
            raise ConfigError(message, title="nothing to train", config_path=("model",), hint=hint)
        if not (self.groups or self.no_decay):
            return self._build(cls, parameters, model)
        groups = grouped(model, self.groups, self.no_decay, self._rate(cls))
        optimizer = self._build(cls, [group.as_torch_has_it() for group in groups], model)
        check_options(groups, optimizer)
        return optimizer

    def _build(
        self, cls: Callable[..., torch.optim.Optimizer], parameters: Sequence[Any], model: torch.nn.Module
    ) -> torch.optim.Optimizer:
        if not self.args and self._fusible(cls, model):
            # There may be no fused kernels for this device or these parameters, or arguments are wrong.
            with suppress(ConfigError):
                optimizer = build_torch(cls, parameters, self.args, {**self.kwargs, "fused": True}, "optimizer")
                self.chose_fused = True
                return optimizer
        return build_torch(cls, parameters, self.args, self.kwargs, "optimizer")

    def _rate(self, cls: Callable[..., Any]) -> float | None:
        """Return the learning rate of what no group has another one for, as far as it is known before it is built."""
        defaults = (each.parameters["lr"].default for each in signatures_of(cls) if "lr" in each.parameters)
        rate = self.kwargs.get("lr", next(defaults, None))
        return float(rate) if isinstance(rate, int | float) else None

    def _fusible(self, cls: Any, model: torch.nn.Module) -> bool:
        """Return whether fused kernels may be chosen, since they do what the plain ones do.

        They take neither sparse gradients nor complex parameters, nor such as are slices of others. Those of SGD leave
        out most of what is in half precision on the CPU (pytorch#191763), and on a GPU they take momentum from a step
        that a gradient scaler leaves out: there the plain ones stay.
        """
        if not takes_fused(cls) or any(name in self.kwargs for name in IMPLEMENTATION):
            return False
        if any(getattr(module, "sparse", False) for module in model.modules()):
            return False
        parameters = list(model.parameters())
        if any(map(is_lazy, parameters)):  # as in a trial, which has no batch
            return False
        is_sgd = inspect.isclass(cls) and issubclass(cls, torch.optim.SGD)
        if is_sgd and not all(each.is_cpu and each.dtype in WHOLE for each in parameters):
            return False
        return all(is_dense(each) and not each.is_complex() for each in parameters)


def takes_fused(cls: Callable[..., Any]) -> bool:
    return any("fused" in signature.parameters for signature in signatures_of(cls))
