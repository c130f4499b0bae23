"""Findings as people and tools read them: drawn for a terminal or a log, or written as JSON or SARIF.

Nothing here is imported before there is something to tell.
"""

from __future__ import annotations
