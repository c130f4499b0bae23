"""What is known of a training step: a row for each call, and the sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from otrainer.commands.show_model.example import Example
    from otrainer.commands.show_model.groups import GroupRow
    from otrainer.engine.state import RunSettings
    from otrainer.errors import Finding

MEMORY_PARTS = ("weights", "gradients", "optimizer", "activations")


@dataclass(frozen=True)
class Row:
    """One call: of a node, or (`depth` 1) of a module inside of it. `value` is what came out, with shapes only.

    `flops` are the forward pass's, `saved` the bytes that it adds to what is kept for the backward pass; `unchecked`
    says why it could not be followed.
    """

    name: str
    call: str
    value: Any = None
    parameters: int = 0
    flops: int = 0
    saved: int = 0
    depth: int = 0
    unchecked: str = ""


@dataclass
class Estimate:
    """What a training step takes. `memory` is in bytes by part, None where a part is not known.

    `flops` are those of the forward pass with the loss and of the backward pass; `notes` say what was not followed,
    `findings` what fails.
    """

    run: RunSettings
    device: torch.device
    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    memory: dict[str, int | None] = field(default_factory=dict)
    flops: tuple[int, int | None] | None = None
    example: Example | None = None
    optimizer: str = ""
    groups: list[GroupRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_on_wanted_device(self) -> bool:
        """Whether the kernels asked are those of the kind of device that the run asks for."""
        return self.device.type == torch.device(self.run.device).type

    @property
    def total_memory(self) -> int:
        """The bytes of all parts that are known, which never take more at once."""
        return sum(size for size in self.memory.values() if size is not None)

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the step is left out."""
        followed = not any(row.unchecked for row in self.rows) and self.flops is not None and self.flops[1] is not None
        return followed and all(self.memory.get(part) is not None for part in MEMORY_PARTS)
