"""From a line of a generated forward back to the call that it is, for whoever has a traceback and wants the config."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otrainer.model.codegen import write_graph

if TYPE_CHECKING:
    from otrainer.model.generated import GeneratedModel
    from otrainer.model.ir import ModelIR, Node

ASSIGNED = re.compile(r"\s*(\w+)(?: : [^=]+)? = ")


@dataclass(frozen=True)
class Line:
    """One line: the number of its node among the program's, and the values that it takes, each with its local name."""

    number: int
    takes: dict[str, str]

    def node(self, ir: ModelIR) -> Node:
        """Return the node with the places of the config that `ir` was compiled from."""
        return ir.program.nodes[self.number]


def line_of(model: type[GeneratedModel], lineno: int) -> Line | None:
    """Return what line `lineno` (from 1) of `model.code` calls; None where it calls nothing, as its last does."""
    match = ASSIGNED.match(model.code.splitlines()[lineno - 1])
    written = {each.name: each for each in write_graph(model.program, model.ops).nodes}
    found = written.get(match[1]) if match else None
    if found is None or found.meta["node"] is None:
        return None
    number = next(at for at, node in enumerate(model.program.nodes) if node is found.meta["node"])
    return Line(number, {taken.meta["value"]: taken.name for taken in found.all_input_nodes})
