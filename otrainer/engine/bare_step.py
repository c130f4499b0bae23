"""An optimizer's step without torch's label for its profiler, which takes as long as a small layer, if none looks.

Nor does it load torch's compiler, which takes a second or two, in order to hide from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler, optimizer

from otrainer.engine.compiler import code_of, is_loaded

GLOBAL_HOOKS = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
PROFILES = "_profiler_enabled"  # of torch.autograd, which says whether anybody looks
OWN_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


class BareStep:
    """Steps an optimizer as its `step` does, past the hooks and the label around it while nobody listens to them.

    What torch puts around `step` is known by its code; where there is anything else, `step` is called as it is.
    """

    def __init__(self, stepped: torch.optim.Optimizer) -> None:
        self.optimizer = stepped
        hooks = [getattr(optimizer, name, None) for name in GLOBAL_HOOKS]
        self._hooks = [*hooks, *(getattr(stepped, name, None) for name in OWN_HOOKS)]
        self._is_known = all(isinstance(each, dict) for each in self._hooks)
        self._is_known &= hasattr(torch.autograd, PROFILES)
        self._bare: Callable[..., Any] | None = None
        self._inner: Callable[..., Any] | None = None  # without what is for the compiler, where there is that
        self._of: tuple[Any, Any] = (None, None)

    def __call__(self) -> Any:
        """Step once."""
        stepped = self.optimizer
        # One that hands on to another has neither of its own.
        own, step = getattr(stepped, "__dict__", {}).get("step"), getattr(type(stepped), "step", None)
        if self._of[0] is not own or self._of[1] is not step:
            self._of, self._bare = (own, step), self._unwrapped(own, step)
            self._inner = inner_of(self._bare)
        if self._bare is None or any(self._hooks) or getattr(torch.autograd, PROFILES)():
            return stepped.step()
        if own is not None:
            stepped._opt_called = True  # type: ignore[attr-defined]  # as the scheduler's wrapper notes it
        if self._inner is None or is_loaded():
            return self._bare(stepped)
        with torch.set_grad_enabled(stepped.defaults["differentiable"]):
            return self._inner(stepped)

    def _unwrapped(self, own: Any, step: Any) -> Callable[..., Any] | None:
        """Return the step inside torch's own wrappers, None where there are others."""
        if not self._is_known or not (own is None or is_schedulers(own, step)):
            return None
        label = optimizer.Optimizer.profile_hook_step(step)
        bare: Callable[..., Any] | None = step.__wrapped__ if code_of(step) is code_of(label) else None
        return bare


def is_schedulers(own: Any, step: Any) -> bool:
    """Return whether an optimizer's own `step` is what torch's schedulers put around that of its class."""
    code = code_of(own)
    return getattr(code, "co_filename", None) == lr_scheduler.__file__ and own.__wrapped__ is step


def inner_of(step: Any) -> Callable[..., Any] | None:
    """Return the step inside what lets torch's own be compiled, None where there is something else or nothing."""
    shield = getattr(optimizer, "_use_grad_for_differentiable", None)
    is_shielded = step is not None and shield is not None and code_of(step) is code_of(shield(step))
    inner: Callable[..., Any] | None = step.__wrapped__ if is_shielded else None
    return inner
