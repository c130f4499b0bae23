"""What a model takes of the weights that it starts from, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.engine.starting.fitting import MOST_NAMED, shown

if TYPE_CHECKING:
    from otrainer.engine.starting.fitting import Taken


def told(taken: Taken, most: int = MOST_NAMED) -> str:
    """Say what is taken of a source, what of it is left, and what is missing in it: `most` names of each."""
    words = [f"weights: {len(taken.names)} tensors of `{taken.source.file}` are taken"]
    if taken.left:
        words.append(f"left are {shown(taken.left, most)}")
    if taken.missing:
        words.append(f"missing, so as they are initialised, are {shown(taken.missing, most)}")
    return "; ".join(words) + "."
