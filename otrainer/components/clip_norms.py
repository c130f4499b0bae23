"""The norms that groups in a config say for their gradients: what is wrong with them, and of what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.engine.group_clips import GroupClip
from otrainer.errors import ConfigPath, Finding

if TYPE_CHECKING:
    from torch import nn

CLIP = "clip_norm"


def clip_flaws(group: Mapping[str, Any], path: ConfigPath) -> Iterator[Finding]:
    """Yield what is wrong with the norm of a group."""
    norm = group.get(CLIP)
    is_number = isinstance(norm, int | float) and not isinstance(norm, bool)
    if norm is not None and not (is_number and norm > 0):
        message = f"`{CLIP}` is a number above 0, not {norm!r}."
        yield Finding(message, "wrong type", (*path, CLIP), hint=f"Write `{CLIP}: 1.0`.")


def clips_among(
    parts: Iterable[tuple[int, Sequence[nn.Parameter]]],
    given: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, nn.Parameter],
) -> list[GroupClip]:
    """Return the norms that the groups `given` are clipped to, each with all of its parameters in the model's order.

    `parts` are the optimizer's groups, each by the place of what asks for it: several where some of it does not decay,
    or lies in several layers.
    """
    of = {id(parameter): index for index, parameters in parts for parameter in parameters}
    return [
        GroupClip(float(group[CLIP]), [each for each in chosen.values() if of[id(each)] == index])
        for index, group in enumerate(given)
        if group.get(CLIP) is not None
    ]
