"""What an optimizer holds beside its `state_dict`: a count, a generator, the state of another one within it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import torch

from otrainer.engine.checkpoint.compare import digest, same
from otrainer.engine.checkpoint.encode import Encoder, Lost, Path
from otrainer.engine.checkpoint.held import Writing
from otrainer.engine.optimizer import held
from otrainer.engine.tree import children, with_children

# What torch, its schedulers and its scaler set; a resume makes it again.
TORCH_SETS = frozenset(
    {"defaults", "param_groups", "step", "grad_scale", "found_inf", "_opt_called", "_step_count", "_params"}
    | {"_numel_cache", "_zero_grad_profile_name", "_warned_capturable_if_run_uncaptured"}
    | {"_need_device_dtype_check_for_fused", "_step_supports_amp_scaling"}
)
ALL = frozenset({"__dict__", "vars", "__getstate__"})


class Unsaved:
    """The attributes of an optimizer that its `state_dict` does not read, as they are when training begins."""

    def __init__(self, run: Any) -> None:
        self._begun = contents(run)

    def changed(self, run: Any) -> list[str]:
        """Return the names of those that are others now; what came later is taken for what a step makes for itself."""
        now = contents(run) if self._begun else {}
        return [name for name, value in now.items() if name in self._begun and not same(value, self._begun[name])]


def contents(run: Any) -> dict[str, Any]:
    """Return copies of what the run's optimizer holds in attributes that its `state_dict` does not read, by name.

    Of the parameters that it trains it is none of theirs; of another optimizer in it, that one's state.
    """
    optimizer = run.optimizer
    read = names_read(type(optimizer))
    if type(optimizer).__module__.startswith("torch.") or not ALL.isdisjoint(read) or "state_dict" in vars(optimizer):
        return {}
    parameters, writing = {id(each) for each in held(optimizer)}, Writing(run)

    def own(encoder: Encoder, path: Path, value: Any) -> Any:
        if id(value) in parameters:
            return "parameter"
        if isinstance(value, torch.optim.Optimizer) and value is not optimizer:
            shares = value.state is getattr(optimizer, "state", None)
            return "shared" if shares else encoder.encode(dict(value.state), path)
        if isinstance(value, dict) and any(isinstance(key, torch.Tensor) for key in value):
            return [encoder.encode(item, (*path, index)) for index, item in enumerate(value.values())]
        return writing.own(encoder, path, value)

    unread = {k: v for k, v in vars(optimizer).items() if k not in read and k not in TORCH_SETS and "_hooks" not in k}
    return {name: copied(Encoder(own).encode(value, (name,))) for name, value in unread.items()}


def copied(data: Any) -> Any:
    """Return encoded data that no later change reaches: tensors by their digests."""
    if isinstance(data, torch.Tensor):
        return digest(data)
    items = None if isinstance(data, Lost) else children(data)
    return data if items is None else with_children(data, [(key, copied(item)) for key, item in items])


def names_read(cls: type) -> set[str]:
    """Return the names that stand in a class's `state_dict`, in what that calls of it, and in the classes above."""
    names: set[str] = set()
    waiting = ["state_dict"]
    while waiting:
        for function in functions(cls, waiting.pop()):
            found = set(words(function.__code__)) - names
            names |= found
            waiting.extend(found)
    return names


def functions(cls: type, name: str) -> Iterator[FunctionType]:
    """Yield what a class has by a name, as far as it is a function: of classes above only where they are asked."""
    for base in cls.__mro__:
        value = vars(base).get(name)
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if callable(function) and isinstance(function := inspect.unwrap(function), FunctionType):
            yield function
            if "super" not in function.__code__.co_names:
                return


def words(part: Any) -> Iterator[str]:
    """Yield the names in code, and the texts, in which attributes may be named too."""
    if isinstance(part, CodeType):
        yield from part.co_names
        yield from (word for constant in part.co_consts for word in words(constant))
    elif isinstance(part, tuple | frozenset):
        yield from (word for item in part for word in words(item))
    elif isinstance(part, str):
        yield part
