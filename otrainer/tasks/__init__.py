"""The doit side: which experiments there are, what is stale and why, and how a stage is run and reported."""

from __future__ import annotations
