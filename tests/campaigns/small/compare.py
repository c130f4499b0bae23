"""How far two trainings are apart: tensor by tensor, row by row, bit by bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from otrainer.engine.tree import leaves_with_paths


def tensors_of(model: nn.Module, criterion: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Every tensor that training left: parameters and buffers of model and loss, and the optimizer's state of each."""
    found = {f"model.{name}": value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    if isinstance(criterion, nn.Module):
        found |= {f"loss.{name}": value for name, value in criterion.state_dict().items()}
    named = {id(value): name for name, value in model.named_parameters("model")}
    if isinstance(criterion, nn.Module):
        named |= {id(value): name for name, value in criterion.named_parameters("loss")}
    for parameter, state in optimizer.state.items():
        for path, leaf in leaves_with_paths(state, lambda node: isinstance(node, torch.Tensor)):
            if isinstance(leaf, torch.Tensor | int | float):
                name = f"optimizer of {named.get(id(parameter), '?')}: {'.'.join(map(str, path))}"
                found[name] = torch.as_tensor(leaf)
    return {name: value.detach().clone() for name, value in found.items()}


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The greatest difference of two numbers at one place; infinities that are equal differ by nothing."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    if one.numel() == 0 or torch.equal(one, other):
        return 0.0
    wide = torch.complex128 if one.is_complex() else torch.float64
    apart = torch.where(one == other, 0, one.to(wide) - other.to(wide)).abs().max()
    return float(apart.nan_to_num(nan=float("inf")))


def rows_apart(rows: list[Any], others: list[Any]) -> dict[str, float]:
    """How far logged values are apart, by stage and name."""
    apart: dict[str, float] = {}
    for (stage, _, mine), (_, _, theirs) in zip(rows, others, strict=True):
        for name in mine.keys() | theirs.keys():
            one, other = (torch.tensor(row.get(name, float("nan"))).double() for row in (mine, theirs))
            far = distance(one, other)
            apart[f"{stage} {name}"] = max(far, apart.get(f"{stage} {name}", 0.0))
    return apart


def size_of(value: torch.Tensor) -> float:
    """The greatest finite number of a tensor."""
    return float(value.abs().nan_to_num(posinf=0.0).max()) if value.numel() else 0.0


def differences(one: Any, other: Any) -> list[str]:
    """The places at which two checkpoints hold other bits."""
    first, second = (
        dict(leaves_with_paths(each, lambda node: isinstance(node, torch.Tensor))) for each in (one, other)
    )
    unlike = {path for path in first.keys() & second.keys() if not identical(first[path], second[path])}
    return sorted(".".join(map(str, path)) for path in unlike | (first.keys() ^ second.keys()))


def identical(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bits(one) == bits(other)
    return type(one) is type(other) and repr(one) == repr(other)


def bits(value: torch.Tensor) -> bytes:
    return value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
