"""The kinds of values that a checkpoint holds as plain data, beside those that are plain data already."""

from __future__ import annotations

from otrainer.engine.checkpoint.kinds.arrays import array_kinds
from otrainer.engine.checkpoint.kinds.generators import generator_kinds
from otrainer.engine.checkpoint.kinds.kind import Factory, Kind, LostError
from otrainer.engine.checkpoint.kinds.python import python_kinds
from otrainer.engine.checkpoint.kinds.tensors import tensor_kinds

__all__ = ["Factory", "Kind", "LostError", "kinds"]


def kinds() -> dict[str, Kind]:
    """Return all kinds by name, in the order in which they are asked whether a value is theirs."""
    # A number of numpy may extend one of Python's, and is looked for first.
    return {kind.name: kind for kind in (*tensor_kinds(), *array_kinds(), *generator_kinds(), *python_kinds())}
