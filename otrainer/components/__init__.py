"""What stands behind the built-in registry keys."""

from __future__ import annotations
