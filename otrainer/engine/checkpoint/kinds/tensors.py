"""Tensors that are more than their numbers in main memory, and what torch says about tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from otrainer.engine.checkpoint.kinds.kind import Kind, LostError, is_exactly


def refuse_graph(value: torch.Tensor) -> None:
    if value.grad_fn is not None:
        raise LostError("is a tensor with a graph behind it, which `.detach()` takes away")


def is_dense(value: Any) -> bool:
    return type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout == torch.strided and not value.is_meta


def is_sparse(value: Any) -> bool:
    return type(value) is torch.Tensor and value.layout == torch.sparse_coo


def dense(value: torch.Tensor) -> dict[str, Any]:
    refuse_graph(value)
    return {
        "parameter": type(value) is torch.nn.Parameter,
        "requires_grad": value.requires_grad,
        "device": str(value.device),
        "data": value.detach(),
    }


def made_dense(parts: Mapping[str, Any]) -> torch.Tensor:
    data: torch.Tensor = parts["data"]
    if parts["parameter"]:
        return torch.nn.Parameter(data, requires_grad=parts["requires_grad"])
    return data.requires_grad_() if parts["requires_grad"] else data


def sparse(value: torch.Tensor) -> dict[str, Any]:
    refuse_graph(value)
    whole = {"shape": list(value.shape), "coalesced": value.is_coalesced(), "device": str(value.device)}
    return {**whole, "indices": value.detach()._indices(), "values": value.detach()._values()}


def made_sparse(parts: Mapping[str, Any]) -> torch.Tensor:
    shape, coalesced = parts["shape"], parts["coalesced"]
    made = torch.sparse_coo_tensor(parts["indices"], parts["values"], shape, check_invariants=True)
    return made.coalesce() if coalesced else made


def made_dtype(parts: Mapping[str, Any]) -> torch.dtype:
    found = getattr(torch, parts["text"])
    if not isinstance(found, torch.dtype):
        raise LostError(f"was `{parts['text']}`, which is no type of numbers")
    return found


def tensor_kinds() -> tuple[Kind, ...]:
    """Return the kinds of tensors, and of what torch says about them."""
    return (
        Kind("tensor", is_dense, dense, made_dense),
        Kind("sparse_tensor", is_sparse, sparse, made_sparse),
        Kind(
            "torch.Size",
            is_exactly(torch.Size),
            lambda value: {"sizes": list(value)},
            lambda parts: torch.Size(parts["sizes"]),
        ),
        Kind(
            "torch.dtype",
            is_exactly(torch.dtype),
            lambda value: {"text": str(value).removeprefix("torch.")},
            lambda parts: made_dtype(parts),
        ),
        Kind(
            "torch.device",
            is_exactly(torch.device),
            lambda value: {"text": str(value)},
            lambda parts: torch.device(parts["text"]),
        ),
    )
