"""What a training step would take, found on the meta device: shapes, parameters, FLOPs and memory."""

from __future__ import annotations

from otrainer.estimate.model import Estimate, estimate
from otrainer.estimate.table import drawn

__all__ = ["Estimate", "drawn", "estimate"]
