"""Optimizer factories: from a registry key and plain arguments to an optimizer for the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otrainer.components.clip_norms import clips_among
from otrainer.components.fused import is_fusible
from otrainer.components.layer_decay import LayerDecay
from otrainer.components.param_groups import check_groups, check_options, checked_patterns, chosen_parameters, grouped
from otrainer.components.torch_classes import build_torch, checked_class, checked_key
from otrainer.engine.group_clips import clip_groups
from otrainer.errors import ConfigError, check_positive, check_whole
from otrainer.registry.build.signature import signatures_of

if TYPE_CHECKING:
    import torch

    from otrainer.registry import Registry


class TorchOptimizerFactory:
    """Build `type` (an `optim_cls.*` key) over all parameters of the model that train.

    `kwargs` are arguments of the class by name (`lr`, `weight_decay`), `args` those by position behind the parameters.
    `groups` lists options of their own for some of them, each with `match` (globs on their names, or `re:` and a
    regular expression) or `modules` (classes of the modules that have them, or `norm`); by `lr_scale` the rate is a
    multiple of the optimizer's, by `clip_norm` their gradients are clipped to a norm of their own. A parameter goes to
    the first group that matches. `no_decay` (`bias`, `norm`, or globs) says whose weights do not decay. By
    `layer_decay` (`rate`, `layers`) those nearer to the input learn slower. `parameters` (globs, or `re:`) are those
    that it trains at all. Of several optimizers, one steps at every `every_n_steps` steps of the run, with the
    gradients of that step, clipped to `grad_clip_norm`; one with `trains_loss` trains the parameters of the loss too,
    which a single optimizer does anyway.
    The fused implementation is chosen where class and device have one and the arguments do not say otherwise.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 - the config's key
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        groups: Sequence[Mapping[str, Any]] | None = None,
        no_decay: Sequence[str] | None = None,
        layer_decay: Mapping[str, Any] | None = None,
        parameters: Sequence[str] | str | None = None,
        every_n_steps: int | None = None,
        grad_clip_norm: float | None = None,
        trains_loss: bool = False,
    ) -> None:
        self.parameters = checked_patterns(parameters)
        self.every_n_steps, self.grad_clip_norm, self.trains_loss = every_n_steps, grad_clip_norm, trains_loss
        check_whole("every_n_steps", every_n_steps, optional=True)
        check_positive("grad_clip_norm", grad_clip_norm)
        check_groups(groups or (), no_decay or ())
        self.groups, self.no_decay = list(groups or ()), list(no_decay or ())
        self.layer_decay = LayerDecay(layer_decay) if layer_decay is not None else None
        self.type = checked_key(type, "optim_cls.", "optimizer")
        self.args = list(args or ())
        self.kwargs = dict(kwargs or {})
        self.chose_fused = False

    def build(self, model: torch.nn.Module, *, registry: Registry) -> torch.optim.Optimizer:
        """Return the optimizer. Raises ConfigError for an unknown class or arguments that it does not take."""
        cls: Callable[..., torch.optim.Optimizer] = checked_class(registry, self.type, self.kwargs, "optimizer")
        chosen = chosen_parameters(model, self.parameters)
        parameters = list(chosen.values())
        if not parameters:
            message = "The model has no parameter that trains."
            hint = "Add a layer with weights, or freeze fewer of them (`requires_grad`)."
            raise ConfigError(message, title="nothing to train", config_path=("model",), hint=hint)
        if not (self.groups or self.no_decay or self.layer_decay):
            return self._build(cls, parameters, model)
        groups = grouped(model, self.groups, self.no_decay, self._rate(cls), chosen, self.layer_decay)
        optimizer = self._build(cls, [group.as_torch_has_it() for group in groups], model)
        check_options(groups, optimizer)
        parts = ((group.index, group.parameters) for group in groups)
        clip_groups(optimizer, clips_among(parts, self.groups, chosen))
        return optimizer

    def _build(
        self, cls: Callable[..., torch.optim.Optimizer], parameters: Sequence[Any], model: torch.nn.Module
    ) -> torch.optim.Optimizer:
        if not self.args and is_fusible(cls, model, self.kwargs):
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
