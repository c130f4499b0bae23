"""Groups of parameters whose gradients are clipped to a norm of their own, before those of all are.

An optimizer's own groups have no room for it: what is in them goes into checkpoints, and a class may not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

CLIPS = "group_clips"  # the attribute of an optimizer that has them


class GroupClip(NamedTuple):
    """Parameters of a group, in the model's order, and the L2 norm to which all their gradients are clipped."""

    norm: float
    parameters: list[torch.nn.Parameter]


def clip_groups(optimizer: Any, clips: Sequence[GroupClip]) -> None:
    """Let the gradients of an optimizer be clipped so before each of its steps."""
    if clips:
        setattr(optimizer, CLIPS, list(clips))


def group_clips(optimizer: Any) -> Sequence[GroupClip]:
    """Return how gradients of single groups of an optimizer are clipped."""
    found: Sequence[GroupClip] = getattr(optimizer, CLIPS, ())
    return found
