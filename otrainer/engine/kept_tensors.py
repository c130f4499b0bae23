"""Buffers and frozen parameters of a module as they are now, to be compared and put back."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy


class Allowance:
    """How many bytes may still be copied."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        """Return whether so many bytes may be copied, and count them."""
        if size > self.left:
            return False
        self.left -= size
        return True


class Tensors:
    """The buffers of a module (not of those in it), and its parameters, as they are now.

    `trained` parameters are left out by default: they change in the optimizer's step. What is not copied, since the
    allowance is used up, is compared by its version alone, and cannot be put back.
    """

    def __init__(self, owner: nn.Module, allowance: Allowance, *, trained: bool = False) -> None:
        self.owner, self._trained = owner, trained
        self._buffers: dict[str, torch.Tensor | None] = {}
        self._kept: list[tuple[torch.Tensor, torch.Tensor, int, torch.Tensor | None]] = []
        self._allowance = allowance
        self._take()

    def _take(self) -> None:
        allowance = self._allowance
        allowance.left += sum(
            copy.nbytes for tensor, *_, copy in self._kept if copy is not None and not is_trained(tensor)
        )
        self._buffers = dict(self.owner._buffers)
        buffers = [each for each in self._buffers.values() if each is not None]
        parameters = [
            each
            for each in self.owner._parameters.values()
            if each is not None and (self._trained or not each.requires_grad)
        ]
        self._kept = [
            (each, each.detach(), each._version, copied(each, allowance))
            for each in (*buffers, *parameters)
            if not is_lazy(each)
        ]
        self._frozen = [(each, data) for each, data, *_ in self._kept if isinstance(each, nn.Parameter)]
        self._copies = [copy for *_, copy in self._kept if copy is not None]
        self._sources = [data for _, data, _, copy in self._kept if copy is not None]

    @property
    def is_whole(self) -> bool:
        """Whether all of it can be put back."""
        return all(copy is not None for *_, copy in self._kept)

    @property
    def is_moving_norm(self) -> bool:
        """Whether these are statistics that a norm in training writes, which counts no version."""
        return isinstance(self.owner, _NormBase) and self.owner.training and bool(self._kept)

    def is_changed(self, *, waits: bool = True) -> bool:
        """Return whether something is not what it was, compared by content; on a device only if that `waits`."""
        now = self.owner._buffers
        if now.keys() != self._buffers.keys() or any(now[name] is not each for name, each in self._buffers.items()):
            return True
        return any(self._differs(*kept, waits=waits) for kept in self._kept) or (not waits and self.is_moving_norm)

    def _differs(
        self, tensor: torch.Tensor, data: torch.Tensor, version: int, copy: torch.Tensor | None, *, waits: bool
    ) -> bool:
        if tensor._version != version or tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
            return True
        if copy is None or (tensor.is_cuda and not waits):
            return False
        return not same_bits(tensor, copy)

    def renew(self) -> None:
        """Take them as they are now."""
        refill(*self.pairs())

    def pairs(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the copies, and what is to be copied into them for them to be as things are now."""
        now = self.owner._buffers
        for name, buffer in self._buffers.items():
            if now.get(name) is not buffer:
                self._take()
                break
        else:
            if len(now) != len(self._buffers) or any(each.data_ptr() != data.data_ptr() for each, data in self._frozen):
                self._take()
        return self._copies, self._sources

    def put_back(self) -> None:
        self.owner._buffers.clear()
        self.owner._buffers.update(self._buffers)
        with torch.no_grad():
            for tensor, data, _, copy in self._kept:
                if tensor.data_ptr() != data.data_ptr():
                    tensor.data = data
                if copy is not None and not same_bits(data, copy):
                    data.copy_(copy)


def refill(copies: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    """Copy tensors into others, in one call for all."""
    if copies:
        torch._foreach_copy_(copies, sources)


def is_trained(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.requires_grad


def copied(tensor: torch.Tensor, allowance: Allowance) -> torch.Tensor | None:
    """Return a copy; what is trained is copied anyway, since its gradients will take the same room."""
    if tensor.layout != torch.strided or not (is_trained(tensor) or allowance.take(tensor.nbytes)):
        return None
    return tensor.detach().clone()


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are equal, NaN being equal to itself."""
    if torch.equal(one, other):
        return True
    if not (one.is_floating_point() or one.is_complex()):
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())
