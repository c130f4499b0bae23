"""The training engine: state, seeds, devices, checkpoints and the loop itself."""

from __future__ import annotations
