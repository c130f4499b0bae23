"""Activation checkpointing: layers whose inner values are computed again for the gradients, instead of kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from otrainer.engine.matching import flaws_of_pattern, is_meant
from otrainer.errors import ConfigError, ConfigPath, Finding, nearest

Buffers = dict[str, torch.Tensor | None]
PLACE: ConfigPath = ("trainer", "checkpoint_activations")
MOST_NAMED = 6


class Recomputed:
    """The `forward` of a module, which computes again in the backward pass what gradients need of its inside.

    It does so from the buffers that there were before, and leaves those alone that there are: statistics of batches
    count a batch once, and the vectors of a spectral norm are those that the outputs were computed with.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.forward = module, module.forward
        self.has_buffers = next(module.buffers(), None) is not None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.module.training and torch.is_grad_enabled()):
            return self.forward(*args, **kwargs)
        if self.has_buffers and not torch.compiler.is_compiling():
            kwargs["context_fn"] = self._contexts
        return checkpoint(self.forward, *args, use_reentrant=False, **kwargs)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return what the first pass and the second run in; called before the first."""
        owners = [part._buffers for part in self.module.modules()]
        before: list[Buffers] = [
            {name: each.clone() for name, each in owner.items() if each is not None} for owner in owners
        ]
        return nullcontext(), buffers_as(owners, before)


@contextmanager
def buffers_as(owners: Sequence[Buffers], values: Sequence[Buffers]) -> Iterator[None]:
    """Let buffers be others in the block; those that there are stay as they are, torch's count of changes included."""
    own = [dict(owner) for owner in owners]
    for owner, value in zip(owners, values, strict=True):
        owner.update(value)
    try:
        yield
    finally:
        for owner, value in zip(owners, own, strict=True):
            owner.update(value)


@contextmanager
def recomputing(model: nn.Module, patterns: Sequence[str] | None, *, compiles: bool) -> Iterator[None]:
    """Compute again, in the block, what gradients need of the inside of the model's parts that patterns mean.

    By torch.utils.checkpoint (Chen et al., 2016); random states are put back for it, so that all bits are the same.
    Raises ConfigError as `recomputed` does.
    """
    modules = recomputed(model, patterns or (), compiles=compiles)
    for module in modules:
        vars(module)["forward"] = Recomputed(module)
    try:
        yield
    finally:
        for module in modules:
            del vars(module)["forward"]


def recomputed(model: nn.Module, patterns: Sequence[str], *, compiles: bool = False) -> list[nn.Module]:
    """Return the modules that patterns mean, but for those that lie in another one of them.

    Raises ConfigError for patterns that mean none, and for modules in which torch's compiler, where the model is
    compiled, would count a batch twice.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    meant = [{name for name in modules if is_meant(pattern, name, None)} for pattern in patterns]
    findings = [no_module(pattern, modules, at) for at, pattern in enumerate(patterns) if not meant[at]]
    names = set().union(*meant)
    outermost = [name for name in modules if name in names and not any(name.startswith(f"{one}.") for one in names)]
    if compiles:
        findings += [each for name in outermost for each in counting_twice(name, modules[name])]
    if findings:
        raise ConfigError.of(findings)
    return [modules[name] for name in outermost]


def counting_twice(name: str, module: nn.Module) -> Iterator[Finding]:
    """Yield that a module holds statistics of batches, which a second pass would update again."""
    for inner, part in module.named_modules():
        if isinstance(part, _NormBase) and part.track_running_stats:
            which = f"`{name}.{inner}`" if inner else "It"
            message = (
                f"`{name}` cannot be computed twice where it is compiled: {which} is a {type(part).__name__}, whose "
                "statistics count."
            )
            hint = "Name layers without one, use a norm without statistics, or leave `run.compile` out."
            yield Finding(message, "statistics would count twice", PLACE, hint=hint)
            return


def no_module(pattern: str, modules: Any, at: int) -> Finding:
    names = list(modules)
    shown = ", ".join(f"`{name}`" for name in names[:MOST_NAMED])
    hint = f"It has {shown}{' and more' if len(names) > MOST_NAMED else ''}." if names else "It has no parts."
    message = f"No part of the model is called `{pattern}`."
    return Finding(message, "nothing matches", (*PLACE, at), suggestions=nearest(pattern, names), hint=hint)


def check_patterns(patterns: Any) -> None:
    """Raise ConfigError for what is no list of patterns."""
    if patterns is None:
        return
    if not isinstance(patterns, list | tuple):
        message, hint = "`checkpoint_activations` lists patterns on names of layers.", 'Write `["layers.*"]`.'
        raise ConfigError(message, title="not a list", config_path=PLACE, hint=hint)
    findings = [each for at, pattern in enumerate(patterns) for each in flaws_of_pattern(pattern, (*PLACE, at))]
    if findings:
        raise ConfigError.of(findings)
