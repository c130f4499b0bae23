"""What a training step would take, found on the meta device: shapes, parameters, FLOPs and memory."""

from __future__ import annotations

from otrainer.commands.show_model.estimate import Estimate, estimate
from otrainer.commands.show_model.table import drawn

__all__ = ["Estimate", "drawn", "estimate"]
